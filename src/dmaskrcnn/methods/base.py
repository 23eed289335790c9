"""What the training loop knows of a method."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from dmaskrcnn.data.sample import Batch
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.heads import Features, split


class Method(nn.Module):
    """A detector and whatever else learns with it.

    ``forward(batch, progress)`` returns ``(losses, logs)``: named scalar losses, whose sum is
    minimised, and named detached scalars that are only logged. It may be called inside
    DistributedDataParallel.
    """

    explanation = ""  # one line for the user's log, where a loss is easily misread
    # the moving average of the detector's weights, in evaluation mode; only where the loop keeps
    # one
    teacher: Detector

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    @property
    def classifier(self) -> nn.Module | None:
        """What learns besides the detector, with a learning rate and clipping of its own; not
        needed after training."""
        return None

    def forward(self, batch: Batch, progress: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and logs of one batch; ``progress`` in [0, 1] is the part of the schedule that is
        done."""
        raise NotImplementedError

    def follow(self, teacher: Detector) -> None:
        """Take note of the averaged weights, which the loop updates after every step."""
        # no child of this module: neither trained nor saved with it
        object.__setattr__(self, "teacher", teacher)

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


def features_of_both(
    detector: Detector, batch: Batch, padded_alike: bool
) -> tuple[ImageList, ImageList, tuple[Features, Features]]:
    """The source's images, the target's, and the features of each.

    Padding each domain to its own size saves a sixth of the pixels of four photographs each.
    Padding that differs could tell a domain classifier the domains apart, and BatchNorm's
    statistics must hold for both.

    Args:
        detector: in training mode.
        batch: with images of both domains.
        padded_alike: one padded size for both; always so in a network with BatchNorm.
    """
    source, target = ([s.image for s in samples] for samples in (batch.source, batch.target))
    if not padded_alike and detector.config.norm != "batch":
        first, second = detector.normalise(source), detector.normalise(target)
        return first, second, (detector.features(first), detector.features(second))
    count = len(source)
    images = detector.normalise([*source, *target])
    first = ImageList(images.tensors[:count], images.image_sizes[:count])
    second = ImageList(images.tensors[count:], images.image_sizes[count:])
    return first, second, split(detector.features(images), count)
