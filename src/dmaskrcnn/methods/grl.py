"""`grl`: DMask R-CNN. A domain classifier on the FPN, and a reversed gradient that makes the
features of both domains alike.

``L = L_det(source) + L_dom(source and target)``; the reversal multiplies the gradient of ``L_dom``
by ``-lambda`` on its way into the FPN, while the classifier itself follows it (arXiv 1807.00202,
section 3; Ganin and Lempitsky, ICML 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dmaskrcnn.config.schedule import PAPER_PHASES, Phase
from dmaskrcnn.data.sample import Batch
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.methods.base import Method, features_of_both
from dmaskrcnn.methods.parts.alignment import Alignment
from dmaskrcnn.methods.parts.alignment_settings import AlignmentSettings
from dmaskrcnn.methods.parts.guard import LN2


@dataclass(frozen=True)
class GRLSettings(AlignmentSettings):
    """DMask R-CNN, gradient reversal through a domain classifier on the FPN."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The original's three."""
        return PAPER_PHASES

    def build(self, detector: Detector) -> GRL:
        """The detector and its domain classifiers."""
        return GRL(self, detector)


class GRL(Method):
    """Adversarial alignment of the FPN's features, image by image, of the proposals' features, or
    of both."""

    explanation = (
        f"a domain loss near {LN2:.2f} (ln 2) with an accuracy near 50 % means that the "
        "classifier cannot tell "
        "hazy features from clear ones: that is the aim, not an error"
    )

    def __init__(self, settings: GRLSettings, detector: Detector) -> None:
        super().__init__(detector)
        self.alignment = Alignment(settings, detector)

    @property
    def classifier(self) -> Alignment:
        """The domain classifiers."""
        return self.alignment

    def forward(self, batch: Batch, progress: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Detection losses of the source half and the domain loss of both; the latter alone while
        the detector is frozen."""
        detector = self.detector
        adapting = any(p.requires_grad for p in detector.parameters())
        with torch.set_grad_enabled(adapting):
            first, second, halves = features_of_both(detector, batch, padded_alike=True)
        losses, logs = self.alignment(
            detector, halves, (first.image_sizes, second.image_sizes), progress
        )
        if not adapting:
            return losses, logs
        objects = [s.objects.to(detector.device) for s in batch.source if s.objects is not None]
        return detector.losses(
            first, halves[0], objects, [s.seed for s in batch.source]
        ) | losses, logs

    def watch(self, values: dict[str, float]) -> str | None:
        """Stop before detection is destroyed."""
        return self.alignment.watch(values)

    def watch_state(self) -> dict[str, Any]:
        """The guard's averages."""
        return self.alignment.watch_state()

    def load_watch_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``watch_state``."""
        self.alignment.load_watch_state(state)
