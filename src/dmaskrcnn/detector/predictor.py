"""What everybody who looks at pictures uses of a detector, whoever runs it. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dmaskrcnn.detections import Detections

if TYPE_CHECKING:
    from torch import Tensor


class Predictor(Protocol):
    """What is used of a detector."""

    def predict(
        self, images: list[Tensor], threshold: float = ..., *, best: bool = ...
    ) -> list[Detections]:
        """The objects in each uint8 ``(3, H, W)`` image, with a score of at least the threshold;
        with ``best`` also the best of an image where there are none."""
        ...
