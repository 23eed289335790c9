"""Ways to train a detector: one file each. A method wraps a detector and gives named losses from a batch."""

from ..config import TrainConfig
from ..detector import Detector
from .base import Method
from .grl import GRL
from .oracle import Oracle
from .source import Source
from .teacher import Teacher

METHODS: dict[str, type[Method]] = {"source": Source, "grl": GRL, "teacher": Teacher, "oracle": Oracle}


def build_method(config: TrainConfig, detector: Detector) -> Method:
    """The method that ``config.method`` names, around ``detector``."""
    return METHODS[config.method](config, detector)


__all__ = ["GRL", "METHODS", "Method", "Oracle", "Source", "Teacher", "build_method"]
