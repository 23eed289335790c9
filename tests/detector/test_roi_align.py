"""RoIAlign as a sparse product against torchvision's operator."""

import copy
import math

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign as TorchvisionMultiScaleRoIAlign

from dmaskrcnn.detector.roi_align import MultiScaleRoIAlign

SIZE = (96, 128)
NAMES = ["0", "1", "2", "3"]


def feature_maps(dtype=torch.float32, images=3, channels=8, levels=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    maps = {}
    for level in range(levels):
        h, w = SIZE[0] >> (level + 2), SIZE[1] >> (level + 2)
        maps[str(level)] = (
            torch.randn(images, channels, h, w, generator=g).to(dtype).requires_grad_()
        )
    # not in featmap_names: must be ignored
    maps["pool"] = torch.randn(images, channels, 1, 2, generator=g)
    return maps


def random_boxes(count, seed=0):
    g = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=g) * torch.tensor([SIZE[1], SIZE[0]])
    # 1 to 735 px: every level, often beyond the image
    extent = torch.exp(torch.rand(count, 2, generator=g) * 6.6)
    return torch.cat([centre - extent / 2, centre + extent / 2], dim=1)


ODD_BOXES = torch.tensor(
    [
        [0.0, 0.0, 128.0, 96.0],  # the whole image
        [0.0, 0.0, 1e-3, 1e-3],  # tiny, in the corner
        [64.0, 40.0, 64.0, 40.0],  # empty
        [127.9, 95.9, 128.0, 96.0],  # in the last corner
        [120.0, 90.0, 140.0, 110.0],  # across the border
        [-30.0, -20.0, 5.0, 4.0],  # across the first corner
        [500.0, 500.0, 600.0, 700.0],  # outside
        [-900.0, -900.0, -800.0, -850.0],  # outside, before the origin
        [-1e4, -1e4, 1e4, 1e4],  # huge
        [3.0, 0.0, 5.0, 96.0],  # very narrow
    ]
)


def pool_both(boxes, output_size, sampling_ratio=2, maps=None):
    maps = feature_maps() if maps is None else maps
    names = [name for name in maps if name != "pool"]
    results = []
    for cls in (TorchvisionMultiScaleRoIAlign, MultiScaleRoIAlign):
        pool = cls(names, output_size, sampling_ratio)
        pooled = pool(maps, boxes, [SIZE] * len(boxes))
        gradient = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1))
        gradients = torch.autograd.grad(
            pooled, [maps[name] for name in names], gradient.to(pooled.dtype)
        )
        results.append((pooled, gradients))
    return results


@pytest.mark.parametrize("output_size", [7, 14, (3, 5)])
@pytest.mark.parametrize("sampling_ratio", [1, 2, 3])
def test_equals_torchvision(output_size, sampling_ratio):
    boxes = [random_boxes(30), ODD_BOXES, random_boxes(7, seed=2)]
    (expected, expected_gradients), (pooled, gradients) = pool_both(
        boxes, output_size, sampling_ratio
    )
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        assert reference.abs().sum() > 0
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-4)


def test_equals_torchvision_on_one_level():
    maps = feature_maps(levels=1)
    (expected, (reference,)), (pooled, (gradient,)) = pool_both(
        [random_boxes(9), ODD_BOXES, random_boxes(1)], 7, maps=maps
    )
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-4)


def test_memory_format_does_not_matter():
    boxes = [random_boxes(5), ODD_BOXES, random_boxes(7, seed=2)]
    maps = feature_maps()
    pool = MultiScaleRoIAlign(NAMES, 7, 2)
    channels_last = {
        name: f.detach().contiguous(memory_format=torch.channels_last) for name, f in maps.items()
    }
    pooled = pool(maps, boxes, [SIZE] * 3)
    assert torch.equal(pooled, pool(channels_last, boxes, [SIZE] * 3))
    assert pooled.is_contiguous(memory_format=torch.channels_last)


def test_images_without_boxes():
    none = torch.zeros(0, 4)
    maps = feature_maps()
    some = MultiScaleRoIAlign(NAMES, 7, 2)(maps, [none, ODD_BOXES, none], [SIZE] * 3)
    reference = TorchvisionMultiScaleRoIAlign(NAMES, 7, 2)(
        maps, [none, ODD_BOXES, none], [SIZE] * 3
    )
    torch.testing.assert_close(some, reference, rtol=1e-5, atol=1e-5)

    empty = MultiScaleRoIAlign(NAMES, 7, 2)(maps, [none] * 3, [SIZE] * 3)
    assert empty.shape == (0, 8, 7, 7)
    for gradient in torch.autograd.grad(empty.sum(), [maps[name] for name in NAMES]):
        assert torch.count_nonzero(gradient) == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-7), (torch.float16, 2**-10)])
def test_half_precision_keeps_dtype_and_accumulates_in_float32(dtype, tolerance):
    # hundreds of overlapping boxes: bf16 sums would lose the small terms
    boxes = [random_boxes(200, seed=s) for s in range(3)]
    half = feature_maps(dtype)
    single = {name: f.detach().float().requires_grad_() for name, f in half.items()}
    pool = MultiScaleRoIAlign(NAMES, 7, 2)
    reference_pool = TorchvisionMultiScaleRoIAlign(NAMES, 7, 2)
    pooled, reference = pool(half, boxes, [SIZE] * 3), reference_pool(single, boxes, [SIZE] * 3)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), reference, rtol=0, atol=4 * tolerance)
    gradients = torch.autograd.grad(pooled, [half[n] for n in NAMES], torch.ones_like(pooled))
    expected = torch.autograd.grad(
        reference, [single[n] for n in NAMES], torch.ones_like(reference)
    )
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.float(), wanted, rtol=2 * tolerance, atol=1e-3)


def test_gradient_by_finite_differences():
    maps = {
        str(i): torch.randn(2, 2, 4 >> i, 6 >> i, dtype=torch.float64, requires_grad=True)
        for i in range(2)
    }
    boxes = [
        torch.tensor([[1.3, 0.2, 17.0, 9.1]], dtype=torch.float64),
        torch.tensor([[2.0, 3.0, 5.0, 300.0]], dtype=torch.float64),
    ]
    pool = MultiScaleRoIAlign(["0", "1"], 2, 2, canonical_scale=8, canonical_level=2)
    assert torch.autograd.gradcheck(
        lambda a, b: pool({"0": a, "1": b}, boxes, [(16, 24)] * 2), tuple(maps.values())
    )


def test_result_is_deterministic():
    boxes = [random_boxes(100, seed=s) for s in range(3)]
    first, second = (pool_both(boxes, 14)[1] for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def test_nan_box_poisons_only_its_own_result():
    boxes = torch.cat([random_boxes(2), torch.full((1, 4), math.nan)])
    maps = {name: f.detach() for name, f in feature_maps(images=1).items()}
    pooled = MultiScaleRoIAlign(["0"], 7, 2)(maps, [boxes], [SIZE])
    assert pooled[:2].isfinite().all()
    assert pooled[2].isnan().all()


def test_adaptive_sampling_falls_back_to_torchvision():
    boxes = [random_boxes(5), ODD_BOXES[:4], random_boxes(7, seed=2)]
    (expected, _), (pooled, _) = pool_both(boxes, 7, sampling_ratio=0)
    assert torch.equal(pooled, expected)
    half = MultiScaleRoIAlign(NAMES, 7, 0)(feature_maps(torch.bfloat16), boxes, [SIZE] * 3)
    assert half.dtype == torch.bfloat16


def test_copies_and_prints_like_torchvision():
    pool = MultiScaleRoIAlign(NAMES, 7, 2)
    maps, boxes = feature_maps(), [ODD_BOXES] * 3
    pooled = pool(maps, boxes, [SIZE] * 3)
    assert torch.equal(copy.deepcopy(pool)(maps, boxes, [SIZE] * 3), pooled)
    # torchvision's MaskRCNN asks for its own class
    assert isinstance(pool, TorchvisionMultiScaleRoIAlign)
    assert not pool.state_dict()
