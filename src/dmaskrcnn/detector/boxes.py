"""Arithmetic of boxes for whole batches, xyxy in px."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchvision.models.detection._utils import BoxCoder

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


def wanted_deltas(coder: BoxCoder, boxes: Tensor, given: Tensor, positive: Tensor) -> Tensor:
    """What turns each given box into its object's: float32 ``(N, K, 4)``; 0 where none is wanted,
    since zero times the logarithm of an empty column's width would be NaN.

    Args:
        coder: torchvision's.
        boxes: of the objects, float32 ``(N, K, 4)``.
        given: anchors or RoIs, the same.
        positive: bool ``(N, K)``.
    """
    deltas = coder.encode_single(boxes.reshape(-1, 4), given.reshape(-1, 4))
    return deltas.view_as(given).masked_fill(~positive[:, :, None], 0)


def clipped(boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """The boxes ``(N, A, 4)`` inside their images of these (height, width)."""
    limits = boxes.new_tensor([(w, h, w, h) for h, w in sizes])
    return boxes.clamp(min=0).minimum(limits[:, None])
