"""Where a video is read from, if not from its beginning."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.images.open_video import need_av
from dmaskrcnn.images.video_inputs import VideoSource


def seek(source: VideoSource, container: Any, start: float, duration: Fraction | None) -> None:
    """Go on from the last whole frame before ``start``; both in seconds after the beginning.

    Raises:
        UserError: it ends before, or can be read from its beginning alone.
    """
    if duration is not None and start >= duration:
        container.close()
        raise UserError(f"{source}: ends after {float(duration):.1f} s, before --start {start:g}")
    try:
        container.seek(round(start * 1_000_000) + (container.start_time or 0))
    except (OSError, need_av().error.FFmpegError) as error:
        container.close()
        said = getattr(error, "strerror", None) or first_line(error)
        raise UserError(
            f"{source}: can be read from its beginning only ({said}); leave --start {start:g} out, "
            "or convert it first"
        ) from error
