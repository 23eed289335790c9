"""Objects of one size alone, as in COCO: a `MatchedSet` that asks for these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.arrays import as_array
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.evaluation.matched_set import GroundTruth, MatchedImage, MatchedSet
from dmaskrcnn.evaluation.matching import box_areas

Size = tuple[float, float]  # least and largest area, both inclusive, square pixels of the picture
# COCO's, of pictures of about 640 x 480 px
SIZES: dict[str, Size] = {
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, np.inf),
}


class SizedSet(MatchedSet):
    """Objects of other sizes are neither to be found nor background, and detections of other sizes
    that find nothing are no false positives.

    The size of an object is that of its mask or, where it has none, of its box; that of a detection
    is of what is matched. Arguments and errors as of `MatchedSet`.
    """

    def __init__(self, truth: GroundTruth, predictions: Iterable[Detections], size: Size) -> None:
        self._size = size
        self._others: list[NDArray[np.bool_]] = []  # per image ``(2, D)``: of boxes, of masks
        super().__init__(truth, predictions)
        self.fingerprint.update(repr(size).encode())

    def _read(self, index: int, objects: Annotations, detections: Detections) -> MatchedImage:
        order = np.argsort(-as_array(detections.scores), kind="stable")
        areas = box_areas(as_array(detections.boxes).astype(float)), detections.packed.areas
        self._others.append(self._other(np.stack(areas)[:, order]))
        of_boxes = box_areas(as_array(objects.boxes).astype(float))
        areas = np.where(as_array(objects.has_mask), objects.packed.areas, of_boxes)
        image = super()._read(index, objects, detections)
        return replace(image, difficult=image.difficult | self._other(areas))

    def _other(self, areas: NDArray[np.number]) -> NDArray[np.bool_]:
        return (areas < self._size[0]) | (areas > self._size[1])

    def _unasked(self, family: str) -> NDArray[np.bool_]:
        return np.concatenate([np.zeros((2, 0), bool), *self._others], 1)[int(family == "mask")]
