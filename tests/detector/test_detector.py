import copy

import pytest
import torch
from detector_cases import TINY
from PIL import Image
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.data import Annotations
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.device import has_fast_bfloat16


def objects(height: int = 64, width: int = 96) -> Annotations:
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, 8:40, 8:40] = masks[1, 20:60, 50:90] = True
    flags = torch.zeros(2, dtype=torch.bool)
    boxes = torch.tensor([[8.0, 8, 40, 40], [50, 20, 90, 60]])
    return Annotations(boxes, torch.tensor([0, 1]), masks, ~flags, flags, flags.clone())


@pytest.fixture(scope="module")
def pair() -> tuple:
    torch.manual_seed(0)
    reference = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=3,
        min_size=128,
        max_size=192,
        box_score_thresh=0.05,
        rpn_pre_nms_top_n_train=200,
        rpn_post_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=100,
    )
    # torchvision freezes the norms only of pretrained backbones
    for name, module in list(reference.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            parent = reference.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], FrozenBatchNorm2d(module.num_features))
    config = DetectorConfig(
        image_size=128, max_size=192, pre_nms=(200, 200), post_nms=(100, 100), trainable_layers=5
    )
    ours = Detector(("car", "person"), config)
    ours.load_state_dict(reference.state_dict())  # the very same keys
    return reference, ours


class TestAgainstTorchvision:
    """The same weights in torchvision's Mask R-CNN are an independent reference for everything we
    changed."""

    @pytest.fixture
    def picture(self) -> Tensor:
        return torch.randint(
            0, 256, (3, 128, 192), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
        )

    def test_predictions(self, pair, picture):
        reference, ours = pair
        with torch.no_grad():
            expected = reference.eval()([picture / 255])[0]
        found = ours.eval().predict(picture, threshold=0.05)
        assert len(found) == len(expected["boxes"]) > 0
        torch.testing.assert_close(found.boxes, expected["boxes"], atol=1e-2, rtol=1e-4)
        torch.testing.assert_close(found.scores, expected["scores"], atol=1e-4, rtol=1e-4)
        assert torch.equal(found.labels, expected["labels"] - 1)
        assert torch.equal(found.masks, expected["masks"][:, 0] >= 0.5)

    def test_losses(self, pair, picture):
        """Everything is sampled, so that there is nothing random to differ in."""
        reference, ours = pair
        truth = objects(128, 192)
        for model in pair:
            model.train()
            for sampler in (model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler):
                sampler.batch_size_per_image, sampler.positive_fraction = 10**6, 0.5
        target = {"boxes": truth.boxes, "labels": truth.labels + 1, "masks": truth.masks.byte()}
        expected = reference([picture / 255], [target])
        images = ours.normalise([picture])
        found = ours.losses(images, ours.features(images), [truth], [0])
        assert {f"loss_{name}" for name in found} == set(expected)
        for name, value in found.items():
            torch.testing.assert_close(
                value, expected[f"loss_{name}"], atol=1e-4, rtol=1e-3, msg=name
            )


@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_large"],
)
def test_backbones_give_the_strides_of_the_fpn(backbone):
    config = DetectorConfig(**{**vars(TINY), "backbone": backbone})
    detector = Detector(("car",), config)
    features = detector.features(detector.normalise([torch.zeros(3, 64, 96, dtype=torch.uint8)]))
    assert [tuple(f.shape) for f in features.values()] == [
        (1, 16, 64 // s, 96 // s) for s in (4, 8, 16, 32)
    ] + [(1, 16, 1, 2)]
    trainable = [p.requires_grad for p in detector.backbone.body.parameters()]
    assert any(trainable)
    assert not all(trainable)


def test_predict_gives_pixels_of_the_original(detector, image):
    large = image.repeat_interleave(3, 1).repeat_interleave(3, 2)
    found = detector.predict(large, threshold=0.0)
    assert found.masks.shape[1:] == (192, 288)
    assert found.boxes.dtype == torch.float32
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2] <= 288 + 1e-3).all()
    assert (found.boxes[:, 3] <= 192 + 1e-3).all()
    assert found.boxes[:, 2].max() > 96  # really scaled up
    assert (found.scores.diff() <= 0).all()


def test_predict_takes_one_many_or_none(detector, image, tmp_path):
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    alone = detector.predict(tmp_path / "a.png", threshold=0.0)
    many = detector.predict([image, str(tmp_path / "a.png"), image[:, :20, :30]], threshold=0.0)
    assert len(many) == 3
    torch.testing.assert_close(alone.boxes, many[1].boxes, atol=0.05, rtol=1e-3)
    assert detector.predict([]) == []
    assert len(detector.predict(image, threshold=1.0)) == 0


def test_predict_leaves_training_mode_as_it_was(detector, image):
    detector.train()
    detector.predict(image)
    assert detector.training


@pytest.mark.skipif(
    not has_fast_bfloat16(torch.device("cpu")), reason="this CPU does not multiply bfloat16"
)
def test_bf16_keeps_box_arithmetic_in_float32(detector, image):
    """torchvision under autocast would give boxes on bfloat16's grid: whole pixels from 128 on."""
    exact = detector.predict(image, threshold=0.0)
    fast = detector.set_precision("bf16").predict(image, threshold=0.0)
    assert fast.boxes.dtype == torch.float32
    assert not torch.equal(fast.boxes, fast.boxes.bfloat16().float())
    assert float(fast.scores.mean()) == pytest.approx(float(exact.scores.mean()), abs=0.05)


def test_anchors_are_as_exact_in_bf16(detector):
    maps = {str(i): torch.zeros(1, 8, 512 >> i, 512 >> i) for i in range(5)}
    image = ImageList(torch.zeros(1, 3, 2048, 2048), [(2048, 2048)])
    exact = detector.rpn._anchors(image.tensors, list(maps.values()))
    detector.rpn.__dict__.pop("_known_anchors")
    rounded = detector.rpn._anchors(image.tensors, [m.bfloat16() for m in maps.values()])
    assert rounded.dtype == torch.float32
    assert torch.equal(exact, rounded)


def test_pooling_does_not_depend_on_how_far_the_first_batch_was_padded():
    """The target half of a batch may be much smaller than the padding it shares with the source
    half."""
    torch.manual_seed(0)
    detector = Detector(("car",), PRESETS["demo"].detector).eval()
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    boxes = [torch.tensor([[8.0, 8, 40, 40]])]
    with torch.no_grad():
        wide = detector.normalise([image], (192, 192))
        padded = detector.roi_heads.box_outputs(detector.features(wide), boxes, wide.image_sizes)[0]
        fresh = copy.deepcopy(detector)
        # what torchvision would infer from a batch that is not padded
        fresh.roi_heads.box_roi_pool.scales = None
        features = {
            name: maps[..., : 64 // s, : 96 // s]
            for (name, maps), s in zip(
                detector.features(wide).items(), (4, 8, 16, 32, 64), strict=True
            )
        }
        expected = fresh.roi_heads.box_outputs(features, boxes, wide.image_sizes)[0]
    torch.testing.assert_close(padded, expected)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_loaded_is_what_was_built(preset, tmp_path):
    """Nothing of it is drawn, and nothing left undrawn."""
    built = Detector(("car", "person"), PRESETS[preset].detector).eval()
    built.save(tmp_path)
    loaded = Detector.load(tmp_path, device="cpu")
    for kind in ("named_parameters", "named_buffers"):
        parts = zip(getattr(built, kind)(), getattr(loaded, kind)(), strict=True)
        for (name, one), (same_name, other) in parts:
            assert name == same_name
            assert torch.equal(one, other), name
            assert one.stride() == other.stride(), name
            assert one.requires_grad == other.requires_grad, name
