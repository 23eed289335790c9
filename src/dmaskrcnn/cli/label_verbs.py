"""The flags of verbs about labelled data sets. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dmaskrcnn.cli.flags import Images, ReadsLabels


@dataclass
class Inspect(ReadsLabels):
    """Say what a data set holds (format, images, boxes per class, masks, sizes) and every problem
    in it."""

    paths: Images
    """Labels of any format, or their folders; folders of images; docs/data.md."""
    all: bool = False
    """List every problem instead of the first few of each kind."""
    orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where the boxes of pictures with an EXIF rotation lie, as for `dmaskrcnn train`."""
