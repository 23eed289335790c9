"""From which score on a teacher's detection is a pseudo-label: a threshold per class."""

from __future__ import annotations

import torch
from torch import Tensor

from dmaskrcnn.distributed import average

# Where every class begins: a detection as likely right as wrong. Below the lowest most would be
# wrong, above the highest rare classes would be without any. Chosen, not measured.
START, LOWEST, HIGHEST = 0.5, 0.3, 0.8
MOMENTUM = 0.99  # a step of the running mean: over some 100 iterations


class Thresholds:
    """Follow the teacher's mean confidence in each class (FreeMatch, Wang et al., ICLR 2023,
    section 4.1): a class that haze makes uncertain keeps its pseudo-labels, a sure one becomes
    choosy.

    Attributes:
        values: float32 ``(C,)``, in [`LOWEST`, `HIGHEST`].
    """

    def __init__(self, classes: int) -> None:
        self.values = torch.full((classes,), START)

    def on(self, device: torch.device) -> Tensor:
        """The thresholds, from now on where the detections are."""
        self.values = self.values.to(device)
        return self.values

    @torch.no_grad()
    def follow(self, labels: Tensor, scores: Tensor) -> None:
        """Move towards the mean score of each class's candidates in this batch, over all processes.

        Args:
            labels: int64 ``(n,)``, 0-based; n may be 0.
            scores: float32 ``(n,)``.
        """
        total = torch.stack([torch.zeros_like(self.values)] * 2).to(scores.device)
        total[0].scatter_add_(0, labels, scores)
        total[1].scatter_add_(0, labels, torch.ones_like(scores))
        total, number = average(total)
        mean = (total / number.clamp(min=1e-6)).clamp(LOWEST, HIGHEST)
        moved = MOMENTUM * self.values + (1 - MOMENTUM) * mean
        self.values = torch.where(number > 0, moved, self.values)
