"""`source`: the labelled clear images only. The baseline that every adaptation is measured
against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmaskrcnn.methods.base import Method
from dmaskrcnn.methods.parts.losses import Losses

if TYPE_CHECKING:
    from dmaskrcnn.data.sample import Batch


class Source(Method):
    """Supervised training of the detector."""

    def losses(self, batch: Batch, progress: float) -> Losses:
        """The five losses of Mask R-CNN."""
        from dmaskrcnn.methods.parts.detection import detection_losses, features_of

        images, features = features_of(self.detector, batch.source)
        return Losses(detection_losses(self.detector, images, features, batch.source))
