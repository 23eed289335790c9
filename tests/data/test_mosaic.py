"""Mosaics: four samples in the place of one, their boxes and masks with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dmaskrcnn.data import Annotations, Augmentation, Batches, Sample, open_dataset
from dmaskrcnn.data.mosaic import Layout, compose

AUGMENT = Augmentation(96, 160, mosaic=1.0)
GREY = torch.tensor((124, 116, 104), dtype=torch.uint8).view(3, 1, 1)


def painted(number: int, masks: bool = True, crowd: bool = False) -> Sample:
    """A picture of brightness 40 × (1 + number) with one white object, label ``number``."""
    height, width = 80 + 20 * number, 120
    image = torch.full((3, height, width), 40 * (1 + number), dtype=torch.uint8)
    image[:, 20:50, 30:80] = 255
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, 20:50, 30:80] = masks
    flags = torch.tensor([masks]), torch.tensor([crowd]), torch.tensor([number == 2])
    box, label = torch.tensor([[30.0, 20, 80, 50]]), torch.tensor([number])
    return Sample(image, Path(f"{number}.png"), number, Annotations(box, label, mask, *flags))


def mosaic(seed: int, samples: list[Sample], augment: Augmentation = AUGMENT) -> Sample:
    return augment(samples[0], seed, samples[1:])


def bounds(plane: Tensor) -> Tensor:
    y, x = plane.nonzero().unbind(1)
    return torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


@pytest.mark.parametrize("seed", range(8))
def test_objects_follow_their_pictures(seed: int) -> None:
    made = mosaic(seed, [painted(k) for k in range(4)])
    truth = made.objects
    assert made.image.shape == (3, 96, 144)  # of the first picture
    assert truth is not None
    assert truth.masks.shape == (len(truth), 96, 144)
    white = made.image[0] > 230
    for box, mask, has in zip(truth.boxes, truth.masks, truth.has_mask, strict=True):
        if not has:
            continue
        assert (bounds(mask) - box).abs().max() <= 2
        assert white[mask].float().mean() > 0.7  # its edges are mixed
    # nothing white belongs to no object
    left_over = white & ~truth.masks.any(0)
    assert left_over.float().mean() < 0.02


def test_every_part_is_smaller_and_in_its_place() -> None:
    for seed in range(8):
        made = mosaic(seed, [replace(painted(k), objects=None) for k in range(4)])
        assert made.objects is None
        for number in range(4):
            colour = 40 * (1 + number)
            assert (made.image == colour).all(0).any(), (seed, number)


def test_flags_go_with_their_objects() -> None:
    samples = [painted(0), painted(1, masks=False), painted(2), painted(3, crowd=True)]
    seen = set()
    for seed in range(12):
        truth = mosaic(seed, samples).objects
        assert truth is not None
        for label, has, crowd, difficult in zip(
            truth.labels, truth.has_mask, truth.crowd, truth.difficult, strict=True
        ):
            assert bool(crowd) == (label == 3)
            assert bool(difficult) == (label == 2)
            assert not has or label != 1
            seen.add(int(label))
    assert seen == {0, 1, 2, 3}


def test_a_function_of_samples_and_seed() -> None:
    samples = [painted(k) for k in range(4)]
    first, again, other = (mosaic(seed, samples).image for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_the_teacher_sees_is_the_same_mosaic() -> None:
    augment = replace(AUGMENT, strong=True, weak=True, hide=0.5)
    samples = [painted(k) for k in range(4)]
    made = mosaic(3, samples, augment)
    assert made.weak is not None
    assert torch.equal(made.weak, mosaic(3, samples, replace(AUGMENT, weak=True)).image)
    assert not torch.equal(made.weak, made.image)


def test_each_part_has_haze_of_its_own() -> None:
    def veil(image: Tensor, objects: Annotations | None, random) -> Tensor:
        seen.append((image.shape[-2:], len(objects) if objects else 0, random.random()))
        return image

    seen: list = []
    mosaic(1, [painted(k) for k in range(4)], replace(AUGMENT, haze=veil))
    assert len(seen) == 4
    assert len({number for _, _, number in seen}) == 4
    assert all(height < 96 and width < 144 for (height, width), _, _ in seen)


def test_compose_leaves_what_no_part_reaches() -> None:
    part = Sample(torch.zeros(3, 2, 3, dtype=torch.uint8), Path("x"), 0)
    made = compose([part] * 4, Layout(10, 12, 5, 6), GREY)
    black = (made.image == 0).all(0)
    assert bounds(black).tolist() == [3, 3, 9, 7]
    assert int(black.sum()) == 24
    assert torch.equal(made.image[:, 0, 0], GREY[:, 0, 0])


def test_share_of_mosaics() -> None:
    half = replace(AUGMENT, mosaic=0.5)
    counts = [half.companions(seed) for seed in range(400)]
    assert set(counts) == {0, 3}
    assert 150 < sum(count == 3 for count in counts) < 250
    assert not any(replace(AUGMENT, mosaic=0.0).companions(seed) for seed in range(50))


def test_batches_hold_mosaics_whatever_the_processes(clear: Path) -> None:
    data = open_dataset(clear / "annotations.json")

    def batches(mosaics: float, rank: int = 0, world: int = 1) -> Batches:
        augment = Augmentation(64, 96, mosaic=mosaics)
        return Batches(data, None, 4, 0, 7, augment, augment, rank, world)

    whole = batches(0.5)[3].source
    shared = [sample for rank in range(2) for sample in batches(0.5, rank, 2)[3].source]
    assert {s.seed for s in whole} == {s.seed for s in shared}
    for sample in whole:
        (same,) = (other for other in shared if other.seed == sample.seed)
        assert torch.equal(sample.image, same.image)
    plain, mixed = batches(0.0), batches(1.0)
    assert [s.path for s in plain[2].source] == [s.path for s in mixed[2].source]
    counts = [
        sum(len(s.objects) for i in range(6) for s in made[i].source if s.objects is not None)
        for made in (plain, mixed)
    ]
    assert counts[1] > 1.5 * counts[0]
