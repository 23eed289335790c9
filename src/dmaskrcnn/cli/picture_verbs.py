"""The flags of verbs that take pictures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from dmaskrcnn.cli.cluster_flags import OnCluster
from dmaskrcnn.cli.flags import BatchSize, Device, RunsDetectors
from dmaskrcnn.cli.gauge_verb import HazeThresholds

Inputs = Positional[
    Annotated[tuple[str, ...], arg(metavar="INPUT ...", help_behavior_hint="(required)")]
]


@dataclass(kw_only=True)
class ReadsVideos:
    """What verbs share that look at videos."""

    every: int = 1
    """Of a video, look at each so-many-th frame; those in between keep what was found before."""
    start: str = ""
    """Of a video, where to begin: seconds, or hh:mm:ss."""
    end: str = ""
    """Of a video or stream, where to stop: seconds, or hh:mm:ss."""
    track: bool = False
    """Give every object of a video an identity over its frames, and count them per class."""
    line: Annotated[tuple[str, ...], arg(metavar="X1,Y1,X2,Y2 ...")] = ()
    """With --track: count who crosses this line, each way; px, or shares of the picture."""
    show: bool = False
    """Also show a video in a window while it is annotated."""
    video: bool = True
    """Write an annotated video; without it JSON and CSV alone, in less time."""


FOR_VIDEOS = tuple(field.name for field in fields(ReadsVideos))


@dataclass
class Predict(OnCluster, ReadsVideos, RunsDetectors):
    """Find objects in images, videos, streams and cameras: pictures and videos with masks, boxes,
    names and scores, plus JSON."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """A run folder."""
    images: Inputs
    """Images, videos, folders of them, quoted patterns (`cams/*/2026*.jpg`), rtsp:// and http://
    streams, numbers of cameras."""
    out: Path
    """Folder for pictures and detections.json, videos and videos.json."""
    threshold: float = 0.5
    """Lowest score to show."""
    clear: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A run for clear air: it looks at images without haze, RUN at the others."""
    haze_thresholds: HazeThresholds = (0.5, 0.56)
    tiles: int = 0
    """Side of overlapping tiles in px, for small objects in large images; 0: none. The whole image
    is looked at, too."""
    pictures: bool = False
    """With --cluster: also draw the pictures, as without it."""
    batch_size: BatchSize = 4
    device: Device = "auto"
