"""The flags of `dmaskrcnn gauge`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from dmaskrcnn.cli.flags import Images, ReadsPictures

HazeThresholds = Annotated[
    tuple[float, float],
    arg(
        metavar="CLEAR HAZY",
        help="Haze (see `dmaskrcnn gauge`) below which the air counts as clear, and above which as "
        "hazy; in between it stays what it was.",
    ),
]


@dataclass
class Gauge(ReadsPictures):
    """Say how hazy pictures are, from 0 (clear) to 1 (nothing but haze).

    From the veil over dark places and the contrast that is left; it ranks pictures, best those of
    one camera, and measures no metres. Clear photographs have 0.1 to 0.5, fog 0.5 to 0.9.
    """

    images: Images
    """Images and videos, or folders of them; of a video each second."""
    format: Literal["table", "json", "csv"] = "table"
    """How it is told."""
    out: Annotated[Path | None, arg(help_behavior_hint="(default: the terminal)")] = None
    """The file to write."""
