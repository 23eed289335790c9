"""Objects as the lines of a YOLO label file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.contours import mask_polygons

Numbers = NDArray[np.floating]


def yolo_boxes(labels: Sequence[int], boxes: Numbers, height: int, width: int) -> list[str]:
    """``class x y width height`` per object: the middle and size of its box, as shares of the
    image's. ``boxes``: xyxy in px, ``(N, 4)``."""
    scale = np.array([width, height, width, height], dtype=np.float64)
    shares = (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) / scale).clip(0, 1)
    middles, sizes = (shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]
    rows = np.concatenate([middles, sizes], axis=1)
    return [_line(label, row) for label, row in zip(labels, rows, strict=True)]


def yolo_polygons(
    labels: Sequence[int], boxes: Numbers, masks: Any, height: int, width: int
) -> list[str]:
    """``class x1 y1 x2 y2 …`` per object: the outline of its mask, or of its box where it has no
    mask. Several outlines (parts, holes) are joined by seams without area, since a line has one.
    ``masks``: bool ``(N, H, W)``."""
    lines = []
    for label, (x1, y1, x2, y2), mask in zip(labels, boxes, masks, strict=True):
        outlines = mask_polygons(mask, height, width)
        if not outlines:
            outlines = [np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=np.float64)]
        start = outlines[0][:1]
        seams = [np.concatenate([other, other[:1], start]) for other in outlines[1:]]
        joined = np.concatenate([outlines[0], *([start, *seams] if seams else [])])
        lines.append(_line(label, (joined / (width, height)).clip(0, 1).ravel()))
    return lines


def _line(label: int, numbers: Numbers) -> str:
    return " ".join([str(label), *(f"{number:.6f}" for number in numbers.tolist())])
