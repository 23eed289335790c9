"""The flags of verbs that take pictures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from dmaskrcnn.cli.flags import BatchSize, Device, Images, ReadsPictures
from dmaskrcnn.cli.gauge_verb import HazeThresholds


@dataclass
class Predict(ReadsPictures):
    """Find objects in images and folders: pictures with masks, boxes, names and scores, plus one
    JSON."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """A run folder."""
    images: Images
    """Images, or folders of them."""
    out: Path
    """Folder for the pictures and detections.json."""
    threshold: float = 0.5
    """Lowest score to show."""
    clear: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A run for clear air: it looks at images without haze, RUN at the others."""
    haze_thresholds: HazeThresholds = (0.5, 0.56)
    batch_size: BatchSize = 4
    device: Device = "auto"
