"""Polygons rasterised at the size that is needed: nearer to what they enclose than a full mask that
is reduced; run lengths as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_files import compressed, counts_of

from dmaskrcnn.data.masks_field import held_masks
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.data.shapes import Shapes, Window, nearest

WINDOWS: dict[str, tuple[Window, tuple[int, int], bool]] = {  # window, size, and whether mirrored
    "whole": ((0, 0, 2160, 3840), (750, 1333), False),
    "mirrored": ((0, 0, 2160, 3840), (750, 1333), True),
    "a part": ((300, 500, 1080, 1920), (750, 1333), True),
    "magnified": ((900, 1600, 300, 400), (600, 800), False),
}


def star(x: float, y: float, radius: float, turn: float = 0.0) -> list[float]:
    """A round outline with five bulges."""
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    reach = radius * (1 + 0.2 * np.sin(5 * angle + turn))
    return np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], 1).ravel().tolist()


def reduced(shapes: Shapes, name: str) -> np.ndarray:
    """The full masks, and of these the nearest pixels: what was done before."""
    window, size, flip = WINDOWS[name]
    rows, columns = map(nearest, window[:2], window[2:], size)
    picked = shapes.frames().numpy()[:, rows][:, :, columns]
    return picked[:, :, ::-1] if flip else picked


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clip(min=1)


@pytest.mark.parametrize("name", WINDOWS)
def test_polygons_are_where_their_full_masks_are(name: str) -> None:
    each = [
        [star(1200, 800, 150)],
        [star(1750, 1020, 90, 1)],
        [star(1900, 1000, 60), star(1700, 1100, 50)],
    ]
    shapes = Shapes.of_segmentations(2160, 3840, each)
    found = shapes.resampled(*WINDOWS[name])
    assert found.dtype == torch.bool
    before = reduced(shapes, name)
    seen = np.asarray(before.any((1, 2)))
    assert seen[1:].all()
    assert (overlaps(found.numpy(), before)[seen] > 0.985).all()


def test_polygons_are_nearer_to_the_truth_than_reduced_masks() -> None:
    rng = np.random.default_rng(0)
    each = [
        [star(rng.uniform(60, 420), rng.uniform(60, 420), rng.uniform(25, 60), turn)]
        for turn in range(12)
    ]
    shapes, size = Shapes.of_segmentations(480, 480, each), (360, 360)
    window = (0, 0, 480, 480)
    fine = shapes.resampled(window, (9 * 360, 9 * 360)).numpy()[:, 4::9, 4::9]  # pixels' centres
    found = overlaps(shapes.resampled(window, size).numpy(), fine)
    rows = nearest(0, 480, 360)
    before = overlaps(shapes.frames().numpy()[:, rows][:, :, rows], fine)
    assert found.min() > 0.98
    assert np.median(found) > 0.99
    assert (found > before).all()


@pytest.mark.parametrize("name", WINDOWS)
def test_run_lengths_are_picked_as_before(name: str) -> None:
    mask = np.zeros((2160, 3840), bool)
    mask[700:1100, 1500:2100] = np.random.default_rng(0).random((400, 600)) > 0.3
    counts = counts_of(mask)
    each = [
        {"size": [2160, 3840], "counts": counts},
        None,
        {"size": [2160, 3840], "counts": compressed(counts)},
    ]
    shapes = Shapes.of_segmentations(2160, 3840, each)
    found = shapes.resampled(*WINDOWS[name]).numpy()
    assert np.array_equal(found, reduced(shapes, name))
    assert found.any((1, 2)).tolist() == [True, False, True]


def test_outside_the_window_there_is_nothing() -> None:
    mask = np.zeros((100, 200), bool)
    mask[80:90, 150:160] = True
    runs = {"size": [100, 200], "counts": counts_of(mask)}
    shapes = Shapes.of_segmentations(100, 200, [runs, [star(150, 80, 10)]])
    for flip in (False, True):
        assert not shapes.resampled((0, 0, 50, 100), (50, 100), flip).any()


def test_run_lengths_of_another_size_are_told() -> None:
    runs = {"size": [10, 10], "counts": [100]}
    with pytest.raises(ValueError, match="cover 100 pixels"):
        Shapes.of_segmentations(10, 20, [runs])


def test_full_masks_are_made_once_and_as_ever() -> None:
    no = torch.zeros(2, dtype=torch.bool)
    each = [[star(50, 40, 20)], [star(120, 60, 30), star(100, 50, 20)]]
    shapes = Shapes.of_segmentations(100, 200, each)
    objects = Annotations(torch.zeros(2, 4), no.long(), shapes, ~no, no, no)  # pyright: ignore[reportArgumentType]
    assert objects.packed is objects.packed
    assert torch.equal(objects.masks, shapes.frames())
    again = Annotations(torch.zeros(2, 4), no.long(), shapes, ~no, no, no)  # pyright: ignore[reportArgumentType]
    one = again[torch.tensor([1])]
    assert isinstance(held_masks(one), Shapes)
    assert torch.equal(one.masks[0], objects.masks[1])
