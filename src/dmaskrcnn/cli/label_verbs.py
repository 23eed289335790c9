"""The flags of verbs about labelled data sets. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dmaskrcnn.cli.flags import Images, ReadsPictures


@dataclass
class Inspect(ReadsPictures):
    """Say what a data set holds (format, images, boxes per class, masks, sizes) and every problem
    in it."""

    paths: Images
    """COCO JSON files, Pascal VOC folders, image folders."""
    all: bool = False
    """List every problem instead of the first few of each kind."""
    orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where the boxes of pictures with an EXIF rotation lie, as for `dmaskrcnn train`."""
