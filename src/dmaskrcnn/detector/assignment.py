"""Which object every anchor and RoI stands for: torchvision's rules (Faster R-CNN, section 3.1.2)
for a whole batch at once, and crowds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detector.boxes import OVERLAPS, intersections


@dataclass
class Truth:
    """The objects of N images, side by side: G is that of the image with the most, at least 1.

    Attributes:
        boxes: float32 ``(N, G, 4)``, xyxy in pixels of the image; zeros where there is no object.
        labels: int64 ``(N, G)``, 0-based.
        real: bool ``(N, G)``: an object and no crowd.
        crowd: bool ``(N, G)``.
        has_mask: bool ``(N, G)``.
        masks: per image bool ``(n, H, W)``.
    """

    boxes: Tensor
    labels: Tensor
    real: Tensor
    crowd: Tensor
    has_mask: Tensor
    masks: list[Tensor]

    @classmethod
    def of(cls, objects: Sequence[Annotations]) -> Truth:
        """The objects of one batch, on the device where they are."""
        counts = np.array([len(o) for o in objects])
        column = np.arange(max(1, counts.max()))
        there = column < counts[:, None]
        # of all in one row, the last for those that are none
        row = np.where(there, column + (counts.cumsum() - counts)[:, None], counts.sum())
        device = objects[0].boxes.device
        index, some = (torch.from_numpy(v).to(device, non_blocking=True) for v in (row, there))

        def beside(values: list[Tensor]) -> Tensor:
            return torch.cat((*values, values[0].new_zeros(1, *values[0].shape[1:])))[index]

        crowd = beside([o.crowd for o in objects])
        return cls(
            boxes=beside([o.boxes for o in objects]),
            labels=beside([o.labels for o in objects]),
            real=some & ~crowd,
            crowd=crowd,
            has_mask=beside([o.has_mask for o in objects]),
            masks=[o.masks for o in objects],
        )


def match(
    truth: Truth,
    candidates: Tensor,
    foreground: float,
    background: float,
    low_quality: bool = False,
) -> tuple[Tensor, Tensor]:
    """Match candidates with objects.

    Args:
        truth: the objects.
        candidates: float32 ``(A, 4)`` of all images, or ``(N, A, 4)``; xyxy.
        foreground: IoU from which on a candidate is positive.
        background: IoU below which it is negative.
        low_quality: take the best candidates of every object for positive, however bad.

    Returns:
        Labels int64 ``(N, A)``: 1 positive, 0 negative, −1 neither: between the two thresholds, or
        mostly inside a crowd. And int64 ``(N, A)`` the object of most overlap.
    """
    images, objects = truth.real.shape
    # a GPU is asked for a batch at a time, 16 large photographs of 100 objects one by one
    together = max(1, OVERLAPS // (objects * candidates.shape[-2]))
    rules = foreground, background, low_quality
    parts = []
    for i in range(0, images, together):
        some = slice(i, i + together)
        boxes = candidates if candidates.dim() == 2 else candidates[some]
        parts.append(_match(truth.boxes[some], truth.real[some], truth.crowd[some], boxes, rules))
    labels, index = zip(*parts, strict=True)
    return torch.cat(labels), torch.cat(index)


def _match(
    boxes: Tensor,
    real: Tensor,
    crowd: Tensor,
    candidates: Tensor,
    rules: tuple[float, float, bool],
) -> tuple[Tensor, Tensor]:
    foreground, background, low_quality = rules
    shared, areas, covered = intersections(boxes, candidates)
    overlap = shared / (areas[:, :, None] + covered - shared)
    overlap = overlap.masked_fill(~real[:, :, None], -1)
    quality, index = overlap.max(1)
    unsure = (quality >= background) & (quality < foreground)
    labels = (quality >= foreground).long() - unsure.long()
    if low_quality:
        # Also where the best of an object is no overlap at all, as in torchvision.
        best = overlap == overlap.amax(2, keepdim=True)
        labels = labels.masked_fill((best & real[:, :, None]).any(1), 1)
    # what lies mostly in a crowd says nothing about background
    inside = (shared > 0.5 * covered.clamp(min=1e-6)) & crowd[:, :, None]
    return labels.masked_fill((labels == 0) & inside.any(1), -1), index
