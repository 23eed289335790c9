"""The flags of verbs about labelled data sets. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dmaskrcnn.cli.flags import Images, ReadsLabels
from dmaskrcnn.cli.picture_verbs import Inputs


@dataclass
class Inspect(ReadsLabels):
    """Say what a data set holds (format, images, boxes per class, masks, sizes) and every problem
    in it; what a video is."""

    paths: Inputs
    """Labels of any format, or their folders; folders of images; videos; docs/data.md."""
    all: bool = False
    """List every problem instead of the first few of each kind."""
    orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where the boxes of pictures with an EXIF rotation lie, as for `dmaskrcnn train`."""


@dataclass
class Convert(ReadsLabels):
    """Write labelled data as COCO, Pascal VOC or YOLO: pictures and labels in a folder that
    opens as a data set.

    What the format cannot hold is counted: VOC has no masks, YOLO neither holes nor parts (they are
    joined to one polygon); neither has crowd regions.
    """

    inputs: Images
    """Labels of any format, or their folders; several become one data set."""
    to: Literal["coco", "voc", "yolo"]
    """The format to write."""
    out: Path
    """Folder to write to: a new one, or that of an earlier `convert`."""
    link: bool = False
    """Hard links to the pictures instead of copies (on the same disk alone)."""
    drop_invalid: bool = False
    """Leave out annotations and pictures that are wrong instead of stopping at the first."""
    orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where the boxes of pictures with an EXIF rotation lie, as for `dmaskrcnn train`."""
