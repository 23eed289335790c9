"""`oracle`: the labels of the target, too. No way to adapt, but the upper end of the gap that
adapting can close."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from dmaskrcnn.config.methods import MethodSettings
from dmaskrcnn.methods.source import Source

if TYPE_CHECKING:
    from dmaskrcnn.data.sample import Batch
    from dmaskrcnn.detector.detector import Detector
    from dmaskrcnn.methods.parts.losses import Losses


@dataclass(frozen=True)
class OracleSettings(MethodSettings):
    """The target's labels, too, for the upper end of a comparison."""

    reads_target_labels: ClassVar[bool] = True

    def build(self, detector: Detector) -> Oracle:
        """Supervised training on both domains."""
        return Oracle(detector)


class Oracle(Source):
    """Supervised training on source and target alike."""

    explanation = "the oracle reads the target's labels: for the upper end of a comparison only"

    def losses(self, batch: Batch, progress: float) -> Losses:
        """The five losses of Mask R-CNN over the images of both domains."""
        both = replace(batch, source=[*batch.source, *batch.target], target=[])
        return super().losses(both, progress)
