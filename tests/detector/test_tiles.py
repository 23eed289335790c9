"""Tiles: each object of a large picture once, whole, with its mask in place."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.tiles import Tiled, cut
from dmaskrcnn.errors import UserError


class Bright:
    """Finds the bright rectangle, if a picture shows a part of it and is not larger than
    ``most``; less surely the less of it there is."""

    def __init__(self, most: int = 10**6):
        self.most, self.sizes = most, []

    def predict(
        self, images: list[torch.Tensor], threshold: float = 0.5, *, best: bool = False
    ) -> list[Detections]:
        self.sizes.append(len(images))
        return [self.one(image[0] > 128) for image in images]

    def one(self, mask: torch.Tensor) -> Detections:
        rows, columns = torch.where(mask)
        if not len(rows) or max(mask.shape) > self.most:
            return Detections.empty(*mask.shape, ("car",))
        box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
        score = torch.tensor([0.5 + min(0.4, len(rows) / 10000)])
        return Detections(box.float(), torch.tensor([0]), score, mask[None], ("car",))


def scene(left: int, top: int, right: int, bottom: int) -> torch.Tensor:
    image = torch.zeros(3, 300, 400, dtype=torch.uint8)
    image[:, top:bottom, left:right] = 255
    return image


@pytest.mark.parametrize("most", [10**6, 128])  # with the whole picture's view, and by tiles alone
@pytest.mark.parametrize(
    "box", [(10, 10, 30, 30), (90, 100, 125, 130), (60, 60, 220, 90), (380, 280, 400, 300)]
)
def test_an_object_is_found_once_whole_and_in_place(box, most):
    predictor = Bright(most)
    (found,) = Tiled(predictor, 128).predict([scene(*box)], 0.5)
    assert found.boxes.tolist() == [list(map(float, box))]
    assert torch.equal(found.masks[0], scene(*box)[0] > 128)
    assert max(predictor.sizes) == 4


def test_one_tile_that_covers_all_is_plain_prediction(detector, image):
    plain = detector.predict(image, threshold=0.0)
    tiled = detector.predict(image, threshold=0.0, tiles=max(image.shape[1:]))
    for name in ("boxes", "labels", "scores", "masks"):
        assert torch.equal(getattr(plain, name), getattr(tiled, name))


def test_the_detector_looks_at_tiles(detector, image):
    large = image.repeat(1, 3, 3)
    found = detector.predict(large, threshold=0.0, tiles=96)
    assert found.masks.shape[1:] == large.shape[1:]
    assert len(found) > len(detector.predict(large, threshold=0.0))
    assert (found.scores.diff() <= 0).all()
    assert len(detector.predict(large, threshold=1.0, tiles=96)) == 0
    assert len(detector.predict(large, threshold=1.0, tiles=96, best=True)) == 1


def test_tiles_cover_the_picture_and_overlap():
    views = cut(300, 400, 128)
    seen = torch.zeros(300, 400)
    for view in views[1:]:
        assert (view.right - view.left, view.bottom - view.top) == (128, 128)
        seen[view.top : view.bottom, view.left : view.right] += 1
    assert seen.min() == 1
    lefts = sorted({view.left for view in views[1:]})
    assert all(b - a <= 96 for a, b in pairwise(lefts))


def test_a_side_that_is_too_small():
    with pytest.raises(UserError, match="64 or more"):
        Tiled(Bright(), 10)
