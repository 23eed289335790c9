"""DMask R-CNN: adapt a Mask R-CNN from labelled clear images to unlabelled hazy ones, and measure
what it gains.

Names are imported when they are first used, so that ``dmaskrcnn --help`` does not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmaskrcnn.errors import check_torch_pair
from dmaskrcnn.version import __version__

if TYPE_CHECKING:
    from dmaskrcnn.config.train import DetectorConfig, TrainConfig
    from dmaskrcnn.data import open_dataset
    from dmaskrcnn.dehazing import dehaze
    from dmaskrcnn.detections import Detections
    from dmaskrcnn.detector.detector import Detector
    from dmaskrcnn.errors import UserError
    from dmaskrcnn.evaluation.evaluate import evaluate
    from dmaskrcnn.evaluation.scores import Scores, paired_difference
    from dmaskrcnn.training.adapt import adapt
    from dmaskrcnn.training.loop import resume, train

__all__ = [
    "Detections",
    "Detector",
    "DetectorConfig",
    "Scores",
    "TrainConfig",
    "UserError",
    "__version__",
    "adapt",
    "dehaze",
    "evaluate",
    "open_dataset",
    "paired_difference",
    "resume",
    "train",
]

_HOMES = {
    "adapt": "training.adapt",
    "DetectorConfig": "detector.config",
    "TrainConfig": "config.train",
    "open_dataset": "data",
    "Detections": "detections",
    "Detector": "detector.detector",
    "UserError": "errors",
    "evaluate": "evaluation.evaluate",
    "dehaze": "dehazing",
    "Scores": "evaluation.scores",
    "paired_difference": "evaluation.scores",
    "resume": "training.loop",
    "train": "training.loop",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            if name == "Detector":
                import_module(".detector.torchvision_import", __name__).import_torchvision()
            return getattr(import_module(f".{_HOMES[name]}", __name__), name)
        except RuntimeError as error:
            check_torch_pair(error)
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
