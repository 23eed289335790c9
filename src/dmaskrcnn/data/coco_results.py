"""COCO's results of one image, as they are in memory, as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.rle import check_rle
from dmaskrcnn.errors import UserError

Arrays = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], PackedMasks]


def coco_arrays(
    results: Sequence[Mapping[str, Any]],
    category_ids: Mapping[str, int],
    size: tuple[int, int] | None = None,
) -> Arrays:
    """Boxes xyxy, labels (places in ``category_ids``), scores and masks, by falling score.

    Args:
        results: dicts with ``category_id``, ``bbox`` (xywh), ``score`` and perhaps
            ``segmentation``, run lengths or polygons; all of one image.
        category_ids: the category id of each class name.
        size: ``(height, width)`` of the image; None: that of the first run lengths.

    Raises:
        UserError: a field is missing or wrong, results of several images, or no known size.
    """
    ids = list(category_ids.values())
    for place, entry in enumerate(results):
        if reason := _wrong(entry, ids):
            raise UserError(f"results: entry {place} {reason}; give COCO results of one image")
    if len({str(entry.get("image_id")) for entry in results}) > 1:
        raise UserError("results: are of several images; give those of one, chosen by image_id")
    results = sorted(results, key=lambda entry: -entry["score"])
    masks = [entry.get("segmentation") or None for entry in results]
    sizes = [tuple(mask["size"]) for mask in masks if isinstance(mask, Mapping)]
    size = size or next(iter(sizes), None)
    if size is None:
        raise UserError("size: unknown without run lengths; give (height, width) of the image")
    if other := [one for one in sizes if one != tuple(size)]:
        raise UserError(f"size: the image has {tuple(size)}, a mask {other[0]} (height, width)")
    try:
        packed = PackedMasks.of_segmentations(*size, masks)
    except ValueError as error:
        raise UserError(f"results: a segmentation cannot be decoded ({error})") from error
    boxes = np.array([entry["bbox"] for entry in results], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([ids.index(entry["category_id"]) for entry in results], dtype=np.int64)
    scores = np.array([entry["score"] for entry in results], dtype=np.float32)
    return boxes.astype(np.float32), labels, scores, packed


def _wrong(entry: Any, ids: Sequence[int]) -> str | None:
    """What is wrong with an entry, or None."""
    if not isinstance(entry, Mapping):
        return f"is {type(entry).__name__}, no dict"
    for field in ("category_id", "bbox", "score"):
        if field not in entry:
            return f"lacks the field {field}"
    if entry["category_id"] not in ids:
        return f"has the category_id {entry['category_id']!r}, which category_ids lacks"
    box, score = entry["bbox"], entry["score"]
    if not (isinstance(box, Sequence) and len(box) == 4 and all(map(_is_number, box))):
        return f"has the bbox {str(box)[:60]}, not [x, y, width, height]"
    if not (_is_number(score) and 0 <= score <= 1):
        return f"has the score {str(score)[:60]}, not one from 0 to 1"
    mask = entry.get("segmentation")
    if isinstance(mask, Mapping) and (reason := check_rle(mask)):
        return f"has a segmentation that {reason}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
