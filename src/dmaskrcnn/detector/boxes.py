"""Arithmetic of boxes for whole batches, xyxy in px."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Overlaps held at once: 128 MB of float32.
OVERLAPS = 2**25


def intersections(boxes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What boxes ``(N, G, 4)`` share with candidates, ``(N, A, 4)`` or ``(A, 4)`` of all images.

    Returns:
        In px² the shared areas ``(N, G, A)``, the areas of the boxes ``(N, G)`` and those of the
        candidates, ``(N, 1, A)`` or ``(A,)``.
    """
    if candidates.dim() == 3:
        candidates = candidates[:, None]
    left, top, right, bottom = boxes[:, :, None].unbind(-1)
    x1, y1, x2, y2 = candidates.unbind(-1)
    width = torch.minimum(right, x2).sub_(torch.maximum(left, x1)).clamp_(min=0)
    height = torch.minimum(bottom, y2).sub_(torch.maximum(top, y1)).clamp_(min=0)
    areas = ((right - left) * (bottom - top))[:, :, 0]
    return width.mul_(height), areas, (x2 - x1) * (y2 - y1)


def clipped(boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """The boxes ``(N, A, 4)`` inside their images of these (height, width)."""
    limits = boxes.new_tensor([(w, h, w, h) for h, w in sizes])
    return boxes.clamp(min=0).minimum(limits[:, None])
