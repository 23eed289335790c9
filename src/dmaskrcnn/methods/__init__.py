"""Ways to train a detector: one file each. A method wraps a detector and gives named losses from a
batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmaskrcnn.methods.base import Method
from dmaskrcnn.methods.grl import GRL
from dmaskrcnn.methods.oracle import Oracle
from dmaskrcnn.methods.source import Source
from dmaskrcnn.methods.teacher import Teacher

if TYPE_CHECKING:
    from dmaskrcnn.config.train import TrainConfig
    from dmaskrcnn.detector.detector import Detector

METHODS: dict[str, type[Method]] = {
    "source": Source,
    "grl": GRL,
    "teacher": Teacher,
    "oracle": Oracle,
}


def build_method(config: TrainConfig, detector: Detector) -> Method:
    """The method that ``config.method`` names, around ``detector``."""
    return METHODS[config.method](config, detector)


__all__ = ["GRL", "METHODS", "Method", "Oracle", "Source", "Teacher", "build_method"]
