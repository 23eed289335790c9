"""Masks of 28 × 28 pixels pasted into a picture, as torchvision's ``paste_masks_in_image`` does,
but inside each box alone, and with NumPy."""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.packed_masks import NOTHING, Crop, PackedMasks

Floats = NDArray[np.float32]


def paste_masks(masks: Floats, boxes: Floats, height: int, width: int) -> PackedMasks:
    """Masks (probabilities, ``(m, 28, 28)``) of the first m of n boxes (``(n, 4)``, xyxy in pixels)
    in a picture of this size; empty for the other boxes."""
    crops = (_pasted(mask, box, height, width) for mask, box in zip(masks, boxes, strict=False))
    rest = [NOTHING] * (len(boxes) - len(masks))
    return PackedMasks.of_crops(height, width, chain(crops, rest))


def _pasted(mask: Floats, box: Floats, height: int, width: int) -> Crop:
    # a frame of zeros around the mask, for which the box grows
    framed = np.pad(mask, 1)
    growth = np.float32(len(framed) / len(mask))
    middle, half = (box[2:] + box[:2]) * np.float32(0.5), (box[2:] - box[:2]) * np.float32(0.5)
    half = half * growth
    left, top = (middle - half).astype(np.int64).tolist()
    right, bottom = (middle + half).astype(np.int64).tolist()
    columns = slice(max(left, 0), min(right + 1, width))
    rows = slice(max(top, 0), min(bottom + 1, height))
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return NOTHING
    low, high, share = _taps(right - left + 1, len(framed), columns, left)
    wide = framed[:, low] * (1 - share) + framed[:, high] * share
    low, high, share = _taps(bottom - top + 1, len(framed), rows, top)
    share = share[:, None]
    inside = wide[low] * (1 - share) + wide[high] * share >= 0.5
    return Crop(rows.start, columns.start, inside)


def _taps(
    length: int, count: int, inside: slice, start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Of ``count`` samples stretched bilinearly to ``length`` pixels from ``start`` on: for the
    pixels ``inside``, the samples before and after, and the share of the latter."""
    pixel = np.arange(inside.start - start, inside.stop - start, dtype=np.float32)
    scale = np.float32(count) / np.float32(max(length, 1))
    place = np.maximum((pixel + np.float32(0.5)) * scale - np.float32(0.5), 0)
    low = np.minimum(place.astype(np.int64), count - 1)
    return low, np.minimum(low + 1, count - 1), place - low.astype(np.float32)
