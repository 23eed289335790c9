"""Run lengths, COCO's way to write a mask: ``{"size": [height, width], "counts": …}``.

The counts are lengths of runs down the columns, the first one of background: as a list, or packed
into text ("compressed").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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
        and type(size[0]) is type(size[1]) is int  # True is no 1
        and min(size) > 0
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
            parts = mask_api.frPyObjects(segmentation, height, width)  # pyright: ignore[reportArgumentType]
            return parts[0] if len(parts) == 1 else mask_api.merge(parts)  # pyright: ignore[reportArgumentType]
        if isinstance(segmentation["counts"], list):
            return mask_api.frPyObjects(segmentation, height, width)  # pyright: ignore[reportReturnType]
    except (RuntimeError, ValueError) as error:
        raise ValueError(str(error)) from error
    return segmentation


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Packed run lengths of a mask ``(H, W)``."""
    counts = np.array(run_lengths(mask), dtype=np.int64)
    return {"size": list(mask.shape), "counts": pack(counts, np.array([len(counts)]))[0]}


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Listed counts of a mask ``(H, W)``: any program reads them."""
    changes = pixel_changes(mask, 0, 0, len(mask))
    return counts_between([changes], mask.size)[0].tolist()


def pixel_changes(part: NDArray[np.bool_], top: int, left: int, height: int) -> NDArray[np.int64]:
    """Where background and mask change in the columns of a picture, one below the other.

    Args:
        part: bool ``(h, w)``, what of the mask lies in a window; outside it there is none.
        top, left: of the window in the picture.
        height: of the picture.

    Returns:
        int64, rising: the pixels ``x * height + y`` at which runs of the mask begin and end, in
        turn.
    """
    if not part.size:
        return np.zeros(0, dtype=np.int64)
    edges = np.concatenate([part[:1], part[1:] != part[:-1], part[-1:]])
    rows, columns = np.divmod(np.flatnonzero(edges), part.shape[1])
    at = np.sort((left + columns) * height + top + rows)
    # a run that ends at the bottom goes on at the top of the next column: no change
    both = np.flatnonzero(at[1:] == at[:-1])
    return np.delete(at, [both, both + 1]) if len(both) else at


def counts_between(
    changes: Sequence[NDArray[np.int64]], pixels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The counts of N masks one after another, and how many each has ``(N,)``, from what
    `pixel_changes` gives of each."""
    lengths = np.array([len(at) + 1 for at in changes], dtype=np.int64)
    end = np.array([pixels])
    ends = np.concatenate([np.zeros(0, np.int64), *(x for at in changes for x in (at, end))])
    last = np.cumsum(lengths) - 1
    first = last - lengths + 1
    counts = np.diff(ends, prepend=0)
    counts[first] = ends[first]
    # what ends with the picture has no background after it
    idle = last[(counts[last] == 0) & (lengths > 1)]
    keep = np.ones(len(counts), dtype=bool)
    keep[idle] = False
    lengths[np.searchsorted(last, idle)] -= 1
    return counts[keep], lengths


def pack(counts: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[str]:
    """Packed counts of N masks: each count (from the fourth on, what it exceeds the last but one
    by) in groups of five bits, the lowest first, and a sixth that says whether more follow.

    Args:
        counts: of all masks, one after another.
        lengths: ``(N,)``, how many each mask has.
    """
    place = np.arange(len(counts)) - np.repeat(_firsts(lengths), lengths)
    values = counts.copy()
    later = np.flatnonzero(place > 2)
    values[later] -= counts[later - 2]
    size = np.ones(len(values), dtype=np.int64)
    for bits in range(4, 60, 5):
        beyond = (values < -(1 << bits)) | (values >= 1 << bits)
        if not beyond.any():
            break
        size += beyond
    at = _firsts(size)
    packed = np.empty(int(size.sum()), dtype=np.uint8)
    for group in range(int(size.max(initial=0))):
        has = np.flatnonzero(size > group)
        five = values[has] >> 5 * group & 31
        packed[at[has] + group] = five + 48 + 32 * (size[has] > group + 1)
    text = packed.tobytes().decode("ascii")
    owner = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(np.bincount(owner, size, len(lengths))).astype(np.int64).tolist()
    return [text[start:end] for start, end in pairwise([0, *ends])]


def unpack(texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """The counts of each mask, as `pack` was given them.

    Raises:
        ValueError: these are no packed counts.
    """
    joined = "".join(texts)
    if not joined.isascii():
        raise ValueError("these are no packed run lengths")
    code = np.frombuffer(joined.encode(), dtype=np.uint8) - np.uint8(48)
    last = np.flatnonzero(code < 32)
    size = np.diff(last, prepend=-1)
    ends_of_text = np.cumsum([len(text) for text in texts], dtype=np.int64)
    cut = ends_of_text[ends_of_text > 0] - 1
    if code.max(initial=0) > 63 or (code[cut] >= 32).any() or size.max(initial=0) > 12:
        raise ValueError("these are no packed run lengths")
    values = (code[last] & 15).astype(np.int64) - (code[last] & 16)  # the highest bit is the sign
    for group in range(1, int(size.max(initial=1))):
        has = np.flatnonzero(size > group)
        values[has] = values[has] << 5 | code[last[has] - group] & 31
    counts, ends = values.copy(), np.searchsorted(last, ends_of_text).tolist()
    parts = list(pairwise([0, *ends]))
    for start, end in parts:  # from the fourth on they are differences to the last but one
        for first in (start + 1, start + 2):
            np.cumsum(values[first:end:2], out=counts[first:end:2])
    return [counts[start:end] for start, end in parts]


def _firsts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(lengths) - lengths
