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
        self._seen: Tensor | None = None  # (2, C): per class the sum of scores, and their number

    def on(self, device: torch.device) -> Tensor:
        """The thresholds, from now on where the detections are."""
        self.values = self.values.to(device)
        return self.values

    def forget(self) -> None:
        """Take note of candidates from nothing on."""
        self._seen = None

    @torch.no_grad()
    def see(self, labels: Tensor, scores: Tensor) -> None:
        """Take note of the candidates of a batch, or of a part of one: the values stay.

        Args:
            labels: int64 ``(n,)``, 0-based; n may be 0.
            scores: float32 ``(n,)``.
        """
        if self._seen is None:
            self._seen = torch.stack([torch.zeros_like(self.values)] * 2).to(scores.device)
        self._seen[0].scatter_add_(0, labels, scores)
        self._seen[1].scatter_add_(0, labels, torch.ones_like(scores))

    @torch.no_grad()
    def follow(self) -> None:
        """Move towards the mean score of each class's candidates that were seen, over all
        processes; nowhere where no batch was."""
        if self._seen is None:
            return
        total, number = average(self._seen)
        self._seen = None
        mean = (total / number.clamp(min=1e-6)).clamp(LOWEST, HIGHEST)
        moved = MOMENTUM * self.values + (1 - MOMENTUM) * mean
        self.values = torch.where(number > 0, moved, self.values)
