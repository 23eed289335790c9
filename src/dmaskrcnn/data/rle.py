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
    size = list(mask.shape)
    if 0 in size:
        return {"size": size, "counts": "0"}
    counts = mask_api.frPyObjects({"size": size, "counts": run_lengths(mask)}, *size)["counts"]  # pyright: ignore[reportArgumentType, reportCallIssue]
    return {"size": size, "counts": counts.decode() if isinstance(counts, bytes) else counts}


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Listed counts of a mask ``(H, W)``: any program reads them."""
    height = len(mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [mask.size]
    # of the part that it covers alone: the columns of a 4K frame take 20 times as long
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # a row of background below, so that no run goes on in the next column
    part = np.pad(part, ((0, int(len(part) < height)), (0, 0)))
    pixels = np.concatenate([[False], part.ravel(order="F"), [False]])
    column, row = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), len(part))
    changes = (left + column) * height + top + row
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return counts[: -1 if counts[-1] == 0 else None].tolist()
