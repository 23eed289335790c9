"""`grl`: DMask R-CNN. A domain classifier on the FPN, and a reversed gradient that makes the
features of both domains alike.

``L = L_det(source) + L_dom(source and target)``; the reversal multiplies the gradient of ``L_dom``
by ``-lambda`` on its way into the FPN, while the classifier itself follows it (arXiv 1807.00202,
section 3; Ganin and Lempitsky, ICML 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmaskrcnn.config.schedule import Phase
from dmaskrcnn.methods.base import Method
from dmaskrcnn.methods.parts.alignment_settings import AlignmentSettings
from dmaskrcnn.methods.parts.guard import LN2
from dmaskrcnn.methods.parts.losses import Losses

if TYPE_CHECKING:
    from dmaskrcnn.data.sample import Batch
    from dmaskrcnn.detector.detector import Detector

# The original's three phases: 5 k iterations of the domain classifier, 50 k and 20 k of all layers
# (REFERENCE: arXiv 1807.00202). The classifier's share of a short schedule, 33 to 53
# steps in our trials, is too little: it was still learning at 200.
PAPER_PHASES = (
    Phase("classifier", 5 / 75, trains="classifier", least=200),
    Phase("adapt", 50 / 75),
    Phase("fine", 20 / 75, rate=0.1),
)


@dataclass(frozen=True)
class GRLSettings(AlignmentSettings):
    """DMask R-CNN, gradient reversal through a domain classifier on the FPN."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The original's three, with 200 steps at least for the classifier (a third of a schedule
        below 600 steps)."""
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
        from dmaskrcnn.methods.parts.alignment import Alignment

        super().__init__(detector)
        self.classifier = self.alignment = Alignment(settings, detector)

    def losses(self, batch: Batch, progress: float) -> Losses:
        """Detection losses of the source half and the domain loss of both; the latter alone while
        the detector is frozen."""
        import torch

        from dmaskrcnn.methods.parts.detection import detection_losses, features_of_both

        detector = self.detector
        adapting = any(p.requires_grad for p in detector.parameters())
        with torch.set_grad_enabled(adapting):
            first, second, halves = features_of_both(detector, batch, padded_alike=True)
        sizes = (first.image_sizes, second.image_sizes)
        losses = self.alignment(detector, halves, sizes, progress)
        if adapting:
            losses.detection = detection_losses(detector, first, halves[0], batch.source)
        return losses

    def watch(self, values: Mapping[str, float]) -> str | None:
        """Stop before detection is destroyed."""
        return self.alignment.watch(values)

    def status(self, values: Mapping[str, float]) -> str:
        """Domain losses and accuracies."""
        return self.alignment.status(values)

    def state(self) -> dict[str, Any]:
        """The guard's averages."""
        return self.alignment.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.alignment.load_state(state)
