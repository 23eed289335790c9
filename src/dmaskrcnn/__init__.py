"""DMask R-CNN: adapt a Mask R-CNN from labelled clear images to unlabelled hazy ones, and measure what it gains.

Names are imported when they are first used, so that ``dmaskrcnn --help`` does not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adaptation import adapt
    from .config import DetectorConfig, TrainConfig
    from .data import open_dataset
    from .detections import Detections
    from .detector import Detector
    from .errors import UserError
    from .evaluation import evaluate
    from .haze.dehazing import dehaze
    from .scoring import Scores, paired_difference
    from .training import resume, train

__version__ = "0.1.0"
__all__ = [
    "Detections",
    "Detector",
    "DetectorConfig",
    "Scores",
    "TrainConfig",
    "UserError",
    "adapt",
    "dehaze",
    "evaluate",
    "open_dataset",
    "paired_difference",
    "resume",
    "train",
]

_HOMES = {
    "adapt": "adaptation",
    "DetectorConfig": "presets",
    "TrainConfig": "config",
    "open_dataset": "data",
    "Detections": "detections",
    "Detector": "detector",
    "UserError": "errors",
    "evaluate": "evaluation",
    "dehaze": "haze.dehazing",
    "Scores": "scoring",
    "paired_difference": "scoring",
    "resume": "training",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
