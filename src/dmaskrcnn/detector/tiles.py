"""Small objects in large pictures: detection in overlapping tiles and in the whole picture, merged.

The network sees a picture reduced to its own size (``image_size``), in which an object of 20 px of
a 4K frame has 7. A tile is reduced less, or magnified. What a tile cuts is seen whole by another
one, if it is smaller than the overlap, or else in the whole picture, which is one more view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dmaskrcnn.data.packed_masks import NOTHING, Crop, PackedMasks
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.errors import UserError

OVERLAP = 0.25  # of the side, shared by neighbours at least
SAME = 0.5  # least IoU of one object in two views: as of NMS in the detector
INSIDE = 0.7  # share of a cut object's box within another's that makes it a part of that
NEAR = 0.01  # of the side: so close to an inner border it is cut by it; boxes are not exact
LEAST_SIDE = 64  # px


@dataclass(frozen=True)
class View:
    """A part of a picture, in its pixels: ``left <= x < right``, ``top <= y < bottom``."""

    left: int
    top: int
    right: int
    bottom: int


class Tiled:
    """A detector that looks at tiles.

    Args:
        predictor: looks at each tile, and at the whole picture.
        side: of the tiles, in px; smaller where the picture is.
        batch_size: tiles per call of the predictor.

    Raises:
        UserError: the side is too small, or ``batch_size`` below 1.
    """

    def __init__(self, predictor: Predictor, side: int, batch_size: int = 4) -> None:
        if side < LEAST_SIDE:
            raise UserError(
                f"--tiles of {side} px are too small; give {LEAST_SIDE} or more, or 0 for none"
            )
        if batch_size < 1:
            raise UserError(f"batch_size: {batch_size} tiles make no batch; give at least 1")
        self.predictor, self.side, self.batch_size = predictor, side, batch_size

    def predict(
        self, images: Sequence[Tensor], threshold: float = 0.5, *, best: bool = False
    ) -> list[Detections]:
        """The objects in each uint8 image ``(3, H, W)``, by falling score; ``best`` as of
        ``Detector.predict``."""
        return [self._predict_one(image, threshold, best) for image in images]

    def _predict_one(self, image: Tensor, threshold: float, best: bool) -> Detections:
        height, width = image.shape[1:]
        views = cut(height, width, self.side)
        found: list[Detections] = []
        for start in range(0, len(views), self.batch_size):
            some = views[start : start + self.batch_size]
            batch = [image[:, v.top : v.bottom, v.left : v.right] for v in some]
            found += self.predictor.predict(batch, threshold=threshold, best=best)
        if len(views) == 1:
            return found[0]
        merged = merge(views, found, height, width)
        keep = merged.scores >= threshold
        keep[:1] |= best
        return merged[keep]


def cut(height: int, width: int, side: int) -> list[View]:
    """The views of a picture: itself, then its tiles, all of one size and evenly spread, if it is
    larger than one."""
    views = [View(0, 0, width, height)]
    if max(height, width) <= side:
        return views
    rows, columns = _starts(height, side), _starts(width, side)
    tile_height, tile_width = min(side, height), min(side, width)
    return views + [View(x, y, x + tile_width, y + tile_height) for y in rows for x in columns]


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    steps = math.ceil((length - side) / (side * (1 - OVERLAP)))
    return [round(step * (length - side) / steps) for step in range(steps + 1)]


def merge(
    views: Sequence[View], found: Sequence[Detections], height: int, width: int
) -> Detections:
    """What was found in the views of a picture as one, each object once.

    Of one object in several views, the one that no inner border of a tile cuts is kept, the best of
    such, with the best score of all. Two that are cut by different borders are joined.

    Args:
        views: the first is the whole picture.
        found: in each view, in its pixels.
        height, width: of the picture.
    """
    corners = torch.tensor([[v.left, v.top, v.right, v.bottom] for v in views], dtype=torch.float32)
    of_view = torch.cat([torch.full((len(one),), i) for i, one in enumerate(found)])
    seen = corners[of_view]
    boxes = torch.cat([one.boxes for one in found]) + seen[:, [0, 1, 0, 1]]
    labels = torch.cat([one.labels for one in found])
    scores = torch.cat([one.scores for one in found])
    is_cut = _cut_by_border(boxes, seen, height, width)
    # whole ones first, each by falling score
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[torch.argsort(is_cut[order].long(), stable=True)]

    kept: list[int] = []
    parts: dict[int, list[int]] = {}  # of each kept one: what its mask is made of
    for index in order.tolist():
        rivals = torch.tensor(kept, dtype=torch.int64)
        rivals = rivals[(labels[rivals] == labels[index]) & (of_view[rivals] != of_view[index])]
        same = _same(index, rivals, boxes, seen, is_cut)
        if same is None:
            kept.append(index)
            parts[index] = [index]
            continue
        scores[same] = max(scores[same], scores[index])
        if is_cut[same]:
            parts[same].append(index)
            boxes[same, :2] = torch.minimum(boxes[same, :2], boxes[index, :2])
            boxes[same, 2:] = torch.maximum(boxes[same, 2:], boxes[index, 2:])
            seen[same, :2] = torch.minimum(seen[same, :2], seen[index, :2])
            seen[same, 2:] = torch.maximum(seen[same, 2:], seen[index, 2:])
    kept = sorted(kept, key=lambda index: -float(scores[index]))
    firsts = np.cumsum([0, *map(len, found)]).tolist()

    def crop(part: int) -> Crop:
        number = int(of_view[part])
        view = views[number]
        return found[number].packed.moved(part - firsts[number], view.top, view.left)

    joined = (_joined([crop(part) for part in parts[index]]) for index in kept)
    masks = PackedMasks.of_crops(height, width, joined)
    chosen = torch.tensor(kept, dtype=torch.int64)
    return Detections(boxes[chosen], labels[chosen], scores[chosen], masks, found[0].classes)


def _joined(crops: Sequence[Crop]) -> Crop:
    """One mask of several."""
    crops = [crop for crop in crops if crop.inside.size]
    if len(crops) < 2:
        return crops[0] if crops else NOTHING
    top, left = min(crop.top for crop in crops), min(crop.left for crop in crops)
    bottom = max(crop.top + crop.inside.shape[0] for crop in crops)
    right = max(crop.left + crop.inside.shape[1] for crop in crops)
    inside = np.zeros((bottom - top, right - left), dtype=bool)
    for y, x, part in crops:
        inside[y - top :, x - left :][: part.shape[0], : part.shape[1]] |= part
    return Crop(top, left, inside)


def _cut_by_border(boxes: Tensor, seen: Tensor, height: int, width: int) -> Tensor:
    """Which boxes touch a border of the part that their view shows, where the picture goes on:
    bool ``(N,)``."""
    sides = (seen[:, 2:] - seen[:, :2]).repeat(1, 2)
    near = (boxes - seen).abs() <= (NEAR * sides).clamp(min=1)
    inner = seen != torch.tensor([0.0, 0.0, width, height])
    return (near & inner).any(1)


def _same(index: int, rivals: Tensor, boxes: Tensor, seen: Tensor, is_cut: Tensor) -> int | None:
    """The kept one that shows the same object, or None.

    Where a border cuts one of the two, they are compared as far as both views see; and what is cut
    may be a part of the other.
    """
    if not len(rivals):
        return None
    mine, theirs = boxes[index].expand(len(rivals), 4), boxes[rivals]
    overlap = _iou(mine, theirs)
    if is_cut[index]:
        both = _within(seen[index].expand(len(rivals), 4), seen[rivals])
        shown = _iou(_within(mine, both), _within(theirs, both))
        inside = _area(_within(mine, theirs))
        part = (inside >= INSIDE * _area(mine)) & (inside > 0)
        overlap = torch.maximum(torch.maximum(overlap, shown), part.float())
    best = int(overlap.argmax())
    return int(rivals[best]) if overlap[best] >= SAME else None


def _within(boxes: Tensor, limits: Tensor) -> Tensor:
    """The part of each box inside the other; of no size where there is none."""
    low = torch.maximum(boxes[:, :2], limits[:, :2])
    return torch.cat([low, torch.maximum(low, torch.minimum(boxes[:, 2:], limits[:, 2:]))], 1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _iou(one: Tensor, other: Tensor) -> Tensor:
    """Of pairs of boxes ``(N, 4)``; 0 where both have no area."""
    both = _area(_within(one, other))
    return both / (_area(one) + _area(other) - both).clamp(min=1e-9)
