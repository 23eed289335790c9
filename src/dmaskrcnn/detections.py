"""The one currency for results: what a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Detections:
    """The N objects found in one image, by falling score.

    Attributes:
        boxes: float32 ``(N, 4)``, xyxy in pixels of the image.
        labels: int64 ``(N,)``, 0-based indices into ``classes``.
        scores: float32 ``(N,)`` in [0, 1].
        masks: bool ``(N, H, W)``.
        classes: the class names.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.boxes)
