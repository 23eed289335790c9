"""The flags of the service and of the page. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from dmaskrcnn.cli.flags import BatchSize, Device, Runs, RunsDetectors
from dmaskrcnn.cli.gauge_verb import HazeThresholds


@dataclass
class Serve(RunsDetectors):
    """Answer pictures over HTTP: POST /predict gives JSON, the annotated picture, or both.

    Ends with Ctrl-C or SIGTERM; what was taken until then is answered.
    """

    runs: Positional[Runs]
    """Run folders; a call may name one by its folder's name, otherwise the first answers."""
    port: int = 8000
    """Port to listen on; 0 for any that is free."""
    host: str = "127.0.0.1"
    """Address to listen on: this machine alone, or 0.0.0.0 for all networks. There is no password:
    put a proxy in front."""
    clear: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A run for clear air: it answers frames without haze, the first run the others, unless a call
    names a run."""
    haze_thresholds: HazeThresholds = (0.5, 0.56)
    threshold: float = 0.5
    """Lowest score of an object, where a call does not say."""
    batch_size: BatchSize = 4
    max_upload: float = 20.0
    """Largest body of a call, in MB."""
    max_pixels: float = field(default=40.0, kw_only=True)
    """Largest picture that is decoded, in megapixels; memory grows with it."""
    queue: int = 256
    """Calls that may be received, waiting or worked on; further ones are told to come back."""
    timeout: float = 30.0
    """Seconds from the beginning of a call to its answer."""
    device: Device = "auto"


@dataclass
class App(RunsDetectors):
    """A page in the browser: drop a picture or a video, see it dehazed and with the objects that
    each run finds.

    Nothing leaves this machine: no analytics, no public link, no fonts from elsewhere.
    """

    runs: Positional[Runs]
    """Run folders, the baseline first."""
    port: int = 7860
    """Port to listen on; 0 for any that is free."""
    host: str = "127.0.0.1"
    """Address to listen on: this machine alone, or 0.0.0.0 for all networks. There is no
    password."""
    max_pixels: float = field(default=40.0, kw_only=True)
    """Largest picture that is decoded, in megapixels; memory grows with it."""
    device: Device = "auto"
