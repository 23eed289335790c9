"""Augmentation: pixels, boxes and masks move together; the same seed gives the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from dmaskrcnn.data import Annotations, Augmentation, Sample, resize_to, strong_photometric
from dmaskrcnn.data.augment import resample
from dmaskrcnn.data.sizes import target_size


def painted(height: int = 60, width: int = 100) -> Sample:
    """White rectangles on black; each with its box and mask."""
    boxes = torch.tensor([[10.0, 20, 40, 50], [70, 5, 95, 15], [0, 0, 4, 60]])
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    masks = torch.zeros(3, height, width, dtype=torch.bool)
    for i, (x0, y0, x1, y1) in enumerate(boxes.int().tolist()):
        image[i, y0:y1, x0:x1] = 255  # one colour plane per object
        masks[i, y0:y1, x0:x1] = True
    no = torch.zeros(3, dtype=torch.bool)
    objects = Annotations(
        boxes, torch.arange(3), masks, torch.ones(3, dtype=torch.bool), no.clone(), no.clone()
    )
    return Sample(image, Path("painted.png"), 1, objects)


def bounds(plane: torch.Tensor) -> list[int]:
    y, x = plane.nonzero().unbind(1)
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (300, 400)), (640, 480, (400, 300)), (100, 1000, (50, 500)), (1, 5000, (1, 500))],
)
def test_target_size(height: int, width: int, expected: tuple[int, int]) -> None:
    assert target_size(height, width, 300, 500) == expected


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("short_side", [30, 60, 120])
def test_boxes_and_masks_follow_the_picture(short_side: int, factor: float, flip: bool) -> None:
    for crop in ((0.0, 0.0), (0.5, 0.5), (1.0, 0.3)):
        out = resample(painted(), short_side, 1000, factor, flip, crop)
        truth = out.objects
        assert truth is not None
        assert out.image.dtype == torch.uint8
        assert truth.masks.shape[1:] == out.image.shape[1:]
        scale = out.image.shape[1] / 60 if factor <= 1 else short_side / 60 * factor
        for box, label, mask in zip(truth.boxes, truth.labels, truth.masks, strict=True):
            plane = out.image[label] > 127
            if not plane.any():
                continue
            # px: resampling moves an edge by half a pixel, nearest masks by one source pixel
            tolerance = 1.01 + scale / 2
            assert (box - torch.tensor(bounds(plane))).abs().max() <= tolerance
            assert (box - torch.tensor(bounds(mask))).abs().max() <= tolerance
            assert (plane != mask).float().mean() < 0.03


def test_flip_twice_is_identity_and_flip_is_exact() -> None:
    sample = painted()
    flipped = resample(sample, 60, 100, flip=True)
    assert torch.equal(flipped.image, sample.image.flip(-1))
    assert sample.objects is not None
    assert flipped.objects is not None
    assert torch.equal(flipped.objects.masks, sample.objects.masks.flip(-1))
    assert flipped.objects.boxes[0].tolist() == [60, 20, 90, 50]
    again = resample(flipped, 60, 100, flip=True)
    assert torch.equal(again.image, sample.image)
    assert again.objects is not None
    assert torch.equal(again.objects.boxes, sample.objects.boxes)


def test_objects_outside_the_window_are_dropped() -> None:
    out = resample(painted(), 60, 100, factor=2.0, crop=(1.0, 1.0))
    assert out.image.shape == (3, 60, 100)
    assert out.objects is not None
    assert 2 not in out.objects.labels.tolist()
    boxes = out.objects.boxes
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 0::2] <= 100).all()


def test_masks_that_shrink_to_nothing_are_no_masks() -> None:
    sample = painted(400, 400)
    assert sample.objects is not None
    sample.objects.masks[0] = False
    sample.objects.masks[0, 31, 31] = True
    out = resize_to(sample, 40, 40)
    assert out.objects is not None
    assert out.objects.has_mask.tolist()[0] is False


def test_no_objects_and_no_labels() -> None:
    sample = painted()
    sample.objects = Annotations.empty(60, 100)
    out = Augmentation(30, 50, scale=(0.5, 2), strong=True)(sample, 3)
    assert out.objects is not None
    assert out.objects.boxes.shape == (0, 4)
    assert out.objects.masks.shape == (0, *out.image.shape[1:])
    sample.objects = None
    assert Augmentation(30, 50)(sample, 3).objects is None


def test_a_function_of_the_seed_alone() -> None:
    augment = Augmentation(30, 50, scale=(0.5, 2), strong=True)
    torch.manual_seed(0)
    first = [augment(painted(), seed).image for seed in range(12)]
    torch.manual_seed(1)
    second = [augment(painted(), seed).image for seed in range(12)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len({(tuple(image.shape), image.sum().item()) for image in first}) > 6


def test_strong_changes_colours_and_only_those() -> None:
    image = torch.randint(
        0, 256, (3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    original = image.clone()
    results = [strong_photometric(image, torch.Generator().manual_seed(seed)) for seed in range(30)]
    assert torch.equal(image, original)
    assert all(r.shape == image.shape and r.dtype == torch.uint8 for r in results)
    changed = sum(not torch.equal(r, image) for r in results)
    grey = sum(torch.equal(r[0], r[1]) for r in results)
    assert changed > 20
    assert 1 <= grey <= 14


def jittered_by_torchvision(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The same recipe in float32, with torchvision's functions."""

    def draw() -> float:
        return torch.rand((), generator=generator).item()

    if draw() < 0.8:
        image = tv.adjust_brightness(image, 0.6 + 0.8 * draw())
        image = tv.adjust_contrast(image, 0.6 + 0.8 * draw())
        image = tv.adjust_saturation(image, 0.6 + 0.8 * draw())
    if draw() < 0.2:
        image = tv.rgb_to_grayscale(image, num_output_channels=3)
    if draw() < 0.5:
        image = tv.gaussian_blur(image, [13, 13], [0.1 + 1.9 * draw()] * 2)
    return image


def test_strong_equals_torchvision_s_functions() -> None:
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0)).mul(255).byte()
    for seed in range(20):
        mine, theirs = (
            change(image, torch.Generator().manual_seed(seed)).float()
            for change in (strong_photometric, jittered_by_torchvision)
        )
        # of noise, whose blur differs most at the border
        assert (mine - theirs)[:, 6:-6, 6:-6].abs().mean() < 2.5
