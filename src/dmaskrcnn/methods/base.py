"""What the training loop knows of a method."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..config import TrainConfig
from ..data.sample import Batch
from ..detector import Detector


class Method(nn.Module):
    """A detector and whatever else learns with it.

    ``forward(batch, progress)`` returns ``(losses, logs)``: named scalar losses, whose sum is minimised, and named detached
    scalars that are only logged. It may be called inside DistributedDataParallel.
    """

    explanation = ""  # one line for the user's log, where a loss is easily misread
    teacher: Detector  # the moving average of the detector's weights, in evaluation mode; only where the loop keeps one

    def __init__(self, config: TrainConfig, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    @property
    def classifier(self) -> nn.Module | None:
        """What learns besides the detector, with a learning rate and clipping of its own; not needed after training."""
        return None

    def forward(self, batch: Batch, progress: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and logs of one batch; ``progress`` in [0, 1] is the part of the schedule that is done."""
        raise NotImplementedError

    def follow(self, teacher: Detector) -> None:
        """Take note of the averaged weights, which the loop updates after every step."""
        object.__setattr__(self, "teacher", teacher)  # no child of this module: neither trained nor saved with it

    def watch(self, values: dict[str, float]) -> str | None:
        """Look at an iteration's losses and logs, averaged over ranks.

        Returns:
            A warning for the user, with advice, or None.

        Raises:
            UserError: with advice, when training should stop.
        """

    def watch_state(self) -> dict[str, Any]:
        """What ``watch`` remembers, for the checkpoint."""
        return {}

    def load_watch_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``watch_state``."""
