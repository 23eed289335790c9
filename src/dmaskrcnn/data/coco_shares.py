"""Boxes written as shares of their picture, 0 to 1, where pixels are meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.coco_columns import Batch
from dmaskrcnn.data.values import numbers

# a box that reaches a little over the edge of its picture does so as shares, too
_MOST = 1.1


def are_shares(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes (``(N, 4)``, xyxy) may be shares: those within the first pixel, where no object
    is."""
    return np.all((boxes >= 1 - _MOST) & (boxes <= _MOST), axis=1)


def shares_for_pixels(annotations: Sequence[Batch], sizes: Sequence[tuple[int, int]]) -> str:
    """What to say of a file all of whose boxes are shares; else empty. Those without area, which
    may stand for anything, do not count. Of other files no more than the first batch is looked at.

    Args:
        annotations: all batches of `in_columns`.
        sizes: ``(height, width)`` of the pictures.
    """
    if max(map(max, sizes)) <= 1:
        return ""
    count, first = 0, ""
    for columns, others in annotations:
        listed = [numbers(e.get("bbox"), 4) for _, e in others if isinstance(e, dict)]
        of_others = np.array([box for box in listed if box], dtype=np.float64).reshape(-1, 4)
        xywh = np.concatenate([columns.boxes, of_others])
        xywh = xywh[(xywh[:, 2:] != 0).all(1)]
        with np.errstate(over="ignore", invalid="ignore"):
            xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        if not are_shares(xyxy).all():
            return ""
        count += len(xywh)
        if not first and len(xywh):
            first = ", ".join(f"{value:g}" for value in xywh[0])
    if not count:
        return ""
    return (
        f"all boxes ({count}) lie within one pixel, such as bbox [{first}]; are these shares of "
        "the picture? multiply them, and polygons, by its width and height"
    )
