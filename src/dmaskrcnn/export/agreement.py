"""How far the objects of two detectors are the same: an export's and those of what it was made of.

Objects pair one to one, of one class and with boxes that overlap by half at least, the surest
first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from faster_coco_eval.core import mask as rle
from numpy.typing import NDArray

from dmaskrcnn.arrays import as_array
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.detections import Detections

PAIRED = 0.5  # IoU
# pixels of a mask that may differ: in a few hundred masks one lies at the threshold to 1e-7, and of
# a mask of 50 pixels it is 0.02
AT_THRESHOLD = 1


@dataclass
class Agreement:
    """The differences over some pictures.

    Attributes:
        pictures: how many.
        objects: of the first detector.
        lost: of these, those that the second one does not have.
        added: those that it has besides.
        box: the largest difference of a coordinate, in pixels.
        mean_box: the mean over the pairs of their largest difference.
        score: the largest difference of a score.
        mask: the smallest overlap (IoU) of two masks; 1 where but a pixel differs.
        mean_mask: the mean overlap.
    """

    pictures: int = 0
    objects: int = 0
    lost: int = 0
    added: int = 0
    box: float = 0.0
    mean_box: float = 0.0
    score: float = 0.0
    mask: float = 1.0
    mean_mask: float = 1.0

    @property
    def kept(self) -> float:
        """The share of the first detector's objects that the second one has, too."""
        return 1 - self.lost / self.objects if self.objects else 1.0

    def __str__(self) -> str:
        same = f"{self.objects - self.lost} of {self.objects} objects are the same"
        more = f", {self.added} more" if self.added else ""
        return (
            f"{self.pictures} pictures, {same}{more}; boxes to {self.box:.2g} px (mean "
            f"{self.mean_box:.2g}), scores to {self.score:.2g}, masks to an IoU of {self.mask:.4f} "
            f"(mean {self.mean_mask:.4f})"
        )


def agree(pairs: Iterable[tuple[Detections, Detections]]) -> Agreement:
    """Compare what two detectors found in the same pictures."""
    total = Agreement()
    boxes, overlaps = [], []
    for one, other in pairs:
        rows, columns = _pairs(one, other)
        total.pictures += 1
        total.objects += len(one)
        total.lost += len(one) - len(rows)
        total.added += len(other) - len(rows)
        for row, column in zip(rows, columns, strict=True):
            apart = as_array(one.boxes)[row] - as_array(other.boxes)[column]
            boxes.append(float(np.abs(apart).max()))
            scores = float(one.scores[row]) - float(other.scores[column])
            total.score = max(total.score, abs(scores))
            overlaps.append(_mask_overlap(one[row].packed, other[column].packed))
    if boxes:
        total.box, total.mean_box = max(boxes), float(np.mean(boxes))
        total.mask, total.mean_mask = min(overlaps), float(np.mean(overlaps))
    return total


def _mask_overlap(one: PackedMasks, other: PackedMasks) -> float:
    """IoU of two masks; 1 where no more pixels differ than `AT_THRESHOLD`."""
    both = int(one.areas[0]) + int(other.areas[0])
    if not both:
        return 1.0
    overlap = float(np.asarray(rle.iou(one.rles, other.rles, [0]))[0, 0])
    differ = both * (1 - overlap) / (1 + overlap)
    return overlap if round(differ) > AT_THRESHOLD else 1.0


def _pairs(one: Detections, other: Detections) -> tuple[list[int], list[int]]:
    overlap = _overlaps(as_array(one.boxes), as_array(other.boxes))
    overlap[as_array(one.labels)[:, None] != as_array(other.labels)] = 0
    rows, columns = [], []
    for row in range(len(one)):  # they come by falling score
        if len(other) and overlap[row].max() >= PAIRED:
            column = int(overlap[row].argmax())
            overlap[:, column] = 0
            rows.append(row)
            columns.append(column)
    return rows, columns


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """IoU of all boxes of one and of another set, ``(n, m)``."""
    ours, theirs = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    low = np.maximum(ours[..., :2], theirs[..., :2])
    high = np.minimum(ours[..., 2:], theirs[..., 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (ours, theirs)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)
