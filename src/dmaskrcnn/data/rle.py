"""Run lengths, COCO's way to write a mask: ``{"size": [height, width], "counts": …}``.

The counts are lengths of runs down the columns, the first one of background: as a list, or packed
into text ("compressed").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from faster_coco_eval.core import mask as mask_api
from numpy.typing import NDArray

# of a mask: 16,384 × 16,384; a larger size is a mistake that would exhaust the memory
MOST_PIXELS = 2**28


def check_rle(value: Any) -> str | None:
    """What is wrong with run lengths read from a file, or None. Packed counts are not decoded."""
    if not isinstance(value, dict):
        return f"is {type(value).__name__}, not run lengths"
    size, counts = value.get("size"), value.get("counts")
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(type(n) is int and n > 0 for n in size)  # True is no 1
    ):
        return f"has the size {str(size)[:40]}, not [height, width]"
    pixels = size[0] * size[1]
    if pixels > MOST_PIXELS:
        return f"has the size {size}, more than {MOST_PIXELS} pixels"
    if isinstance(counts, str):
        return None
    if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
        return "has 'counts' that are neither text nor a list of run lengths"
    if sum(counts) != pixels:
        return f"has runs that cover {sum(counts)} pixels, not the {pixels} of its size"
    return None


def compressed(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """COCO's three ways to write a mask (polygons, listed counts, packed counts) → packed counts.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        if isinstance(segmentation, list):
            return mask_api.merge(mask_api.frPyObjects(segmentation, height, width))  # pyright: ignore[reportArgumentType]
        if isinstance(segmentation["counts"], list):
            return mask_api.frPyObjects(segmentation, height, width)  # pyright: ignore[reportReturnType]
    except (RuntimeError, ValueError) as error:
        raise ValueError(str(error)) from error
    return segmentation


def decode(rles: list[dict[str, Any]]) -> NDArray[np.bool_]:
    """Masks ``(H, W, N)`` from N > 0 packed run lengths of one size.

    Raises:
        ValueError: one cannot be decoded.
    """
    try:
        return mask_api.decode(rles).view(bool)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from error


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Packed run lengths of a mask ``(H, W)``."""
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts = rle["counts"]
    return {
        "size": list(mask.shape),
        "counts": counts.decode() if isinstance(counts, bytes) else counts,
    }


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Listed counts of a mask ``(H, W)``: any program reads them."""
    pixels = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return counts[: -1 if counts[-1] == 0 else None].tolist()
