"""`source`: the labelled clear images only. The baseline that every adaptation is measured
against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dmaskrcnn.config.methods import MethodSettings
from dmaskrcnn.methods.base import Method
from dmaskrcnn.methods.parts.losses import Losses

if TYPE_CHECKING:
    from dmaskrcnn.data.sample import Batch
    from dmaskrcnn.detector.detector import Detector


@dataclass(frozen=True)
class SourceSettings(MethodSettings):
    """The labelled clear images only."""

    uses_target: ClassVar[bool] = False

    def build(self, detector: Detector) -> Source:
        """Supervised training of the detector."""
        return Source(detector)


class Source(Method):
    """Supervised training of the detector."""

    def losses(self, batch: Batch, progress: float) -> Losses:
        """The five losses of Mask R-CNN."""
        from dmaskrcnn.methods.parts.detection import detection_losses, features_of

        images, features = features_of(self.detector, batch.source)
        return Losses(detection_losses(self.detector, images, features, batch.source))
