"""Non-maximum suppression within groups: levels of a pyramid, classes, images."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms


def grouped_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """What no better box of its own group overlaps by more than ``threshold``.

    Args:
        boxes: float32 ``(n, 4)``, xyxy.
        scores: float32 ``(n,)``.
        groups: int64 ``(n,)``, from 0.
        threshold: IoU in [0, 1].

    Returns:
        int64 indices, by falling score.
    """
    if boxes.device.type == "cpu":
        return batched_nms(boxes, scores, groups, threshold)
    # One call, where torchvision waits for the GPU at every group of a large n.
    return nms(moved_apart(boxes, groups), scores.double(), threshold)


def moved_apart(boxes: Tensor, groups: Tensor) -> Tensor:
    """The boxes of each group where no other group's are; float64, in which overlaps stay."""
    extent = boxes.amax() + 1 if len(boxes) else 1
    return boxes.double() + (groups * extent).double()[:, None]
