"""How videos are looked at."""

from __future__ import annotations

from dataclasses import dataclass

from dmaskrcnn.errors import UserError
from dmaskrcnn.images.track import parse_line


@dataclass(frozen=True)
class VideoOptions:
    """How videos are looked at.

    Attributes:
        threshold: the least score of an object, in [0, 1].
        batch_size: frames per call of the detector.
        every: look at each so-many-th frame.
        start, end: seconds; an ``end`` of None is the video's own.
        track: follow objects from frame to frame.
        lines: ``x1,y1,x2,y2``, to count who crosses them.
        show: also show the frames in a window.
        video: write an annotated video; without it nothing is drawn or encoded.

    Raises:
        UserError: values that do not fit.
    """

    threshold: float = 0.5
    batch_size: int = 4
    every: int = 1
    start: float = 0.0
    end: float | None = None
    track: bool = False
    lines: tuple[str, ...] = ()
    show: bool = False
    video: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UserError(f"--threshold {self.threshold} is no score; give a value from 0 to 1")
        if self.batch_size < 1 or self.every < 1:
            raise UserError("--batch-size and --every count frames: give at least 1")
        if self.lines and not self.track:
            raise UserError("--line counts objects that are followed: add --track")
        if self.end is not None and self.end <= self.start:
            raise UserError(f"--end {self.end:g} is not after --start {self.start:g}")
        for text in self.lines:
            parse_line(text, 10**9, 10**9)
