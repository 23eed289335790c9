"""`source`: the labelled clear images only. The baseline that every adaptation is measured
against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dmaskrcnn.config.methods import MethodSettings
from dmaskrcnn.data.sample import Batch
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.methods.base import Method


@dataclass(frozen=True)
class SourceSettings(MethodSettings):
    """The labelled clear images only."""

    uses_target: ClassVar[bool] = False

    def build(self, detector: Detector) -> Source:
        """Supervised training of the detector."""
        return Source(detector)


class Source(Method):
    """Supervised training of the detector."""

    def forward(self, batch: Batch, progress: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The five losses of Mask R-CNN."""
        detector = self.detector
        images = detector.normalise([s.image for s in batch.source])
        objects = [s.objects.to(detector.device) for s in batch.source if s.objects is not None]
        return detector.losses(
            images, detector.features(images), objects, [s.seed for s in batch.source]
        ), {}
