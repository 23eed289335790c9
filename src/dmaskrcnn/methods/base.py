"""What the training loop knows of a method.

Neither this file nor those of the methods import torch before a method is built: the command line
reads their settings for ``--help``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from dmaskrcnn.data.sample import Batch
    from dmaskrcnn.detector.detector import Detector
    from dmaskrcnn.methods.parts.losses import Losses


class Method:
    """A way to train a detector: what it learns from a batch.

    Attributes:
        explanation: one line for the user's log, where a loss is easily misread.
        detector: what is trained.
        classifier: what learns besides the detector, with a learning rate and clipping of its own;
            not needed after training.
        teacher: the moving average of the detector's weights, in evaluation mode. The loop sets it
            where it keeps one, and updates it after every step.
    """

    explanation = ""
    classifier: nn.Module | None = None
    teacher: Detector

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def losses(self, batch: Batch, progress: float) -> Losses:
        """What to minimise on one batch; ``progress`` in [0, 1] is the part of the schedule that is
        done. It may be called inside DistributedDataParallel."""
        raise NotImplementedError

    def begin_step(self) -> None:
        """Before the first of a step's passes, which are several where a batch is taken in parts;
        once more where these begin anew, as memory did not hold them."""

    def end_step(self) -> None:
        """After the weights have moved: what the method learns from all of a step's passes."""

    def watch(self, values: Mapping[str, float]) -> str | None:
        """Look at an iteration's losses and logs by column (`Losses.columns`), averaged over ranks,
        before the step is taken.

        Returns:
            A warning for the user, with advice, or None.

        Raises:
            UserError: with advice, when training should stop.
        """

    def status(self, values: Mapping[str, float]) -> str:
        """What the progress line says of these losses and logs, after the loss."""
        return ""

    def state(self) -> dict[str, Any]:
        """What the method remembers beyond weights, as tensors and plain values, for the
        checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
