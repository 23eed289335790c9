"""The flags of verbs that take pictures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from dmaskrcnn.cli.flags import BatchSize, Device, Images, ReadsPictures


@dataclass
class Predict(ReadsPictures):
    """Find objects in images and folders: pictures with masks, boxes, names and scores, plus one
    JSON."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """A run folder."""
    images: Images
    """Images, folders of them, or quoted patterns (`cams/*/2026*.jpg`)."""
    out: Path
    """Folder for the pictures and detections.json."""
    threshold: float = 0.5
    """Lowest score to show."""
    tiles: int = 0
    """Side of overlapping tiles in px, for small objects in large images; 0: none. The whole image
    is looked at, too."""
    batch_size: BatchSize = 4
    device: Device = "auto"
