"""Which anchors and RoIs enter the losses, and what their sums are divided by.

Random numbers come from a seed per image and counts are averaged over all processes, so that the
result depends on neither the companions of an image nor on how many processes share a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dmaskrcnn.distributed import average, world_size


def normaliser(count: int | Tensor, device: torch.device) -> Tensor:
    """The mean over ranks of a count, of which all together have at least one: dividing each rank's
    sum by it makes the mean of the ranks' losses the global loss.

    A collective: every rank calls it, also one that counts nothing.
    """
    counted = torch.as_tensor(count, dtype=torch.float32, device=device).clone()
    return average(counted).clamp(min=1 / world_size())


def sample_balanced(
    labels: Tensor, count: int, positive_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw at most ``count`` of the candidates, at most ``positive_share`` of them positive (Faster
    R-CNN, section 3.1.3).

    Args:
        labels: ``(N,)``: > 0 positive, 0 negative, < 0 ignored.

    Returns:
        Sorted int64 indices of the positives and of the negatives.
    """
    positive, negative = torch.where(labels > 0)[0], torch.where(labels == 0)[0]
    positives = min(len(positive), int(count * positive_share))
    negatives = min(len(negative), count - positives)
    chosen = []
    for candidates, take in ((positive, positives), (negative, negatives)):
        order = torch.randperm(len(candidates), generator=generator)[:take].to(labels.device)
        chosen.append(candidates[order].sort().values)
    return chosen[0], chosen[1]


def inside_crowd(boxes: Tensor, crowd: Tensor) -> Tensor:
    """Bool ``(N,)``: more than half of the box lies in one of the crowd boxes, so that it says
    nothing about background."""
    top_left = torch.maximum(boxes[:, None, :2], crowd[:, :2])
    overlap = (torch.minimum(boxes[:, None, 2:], crowd[:, 2:]) - top_left).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=1e-6)
    return (overlap > 0.5 * area[:, None]).any(1)
