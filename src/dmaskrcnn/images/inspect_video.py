"""What a video is, for ``dmaskrcnn inspect``: told from its container and its first frame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dmaskrcnn.errors import UserError
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.images.open_video import need_av
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import VideoSource


def inspect_video(source: VideoSource) -> str:
    """Codec, frames, size, rate, duration, sound and haze, in lines for the terminal.

    Raises:
        UserError: it cannot be opened, or its first frame cannot be decoded.
    """
    with closing(VideoReader(source)) as reader:
        frames = "frames without an end" if reader.live else "an unknown number of frames"
        if reader.frames is not None:
            frames = f"{reader.frames} frames"
        lines = [
            f"{source}",
            f"  video ({reader.codec}), {frames}, without labels",
            f"  size    {reader.width} x {reader.height} px",
            f"  rate    {float(reader.rate):.5g} frames/s",
        ]
        if reader.duration is not None:
            lines.append(f"  length  {float(reader.duration):.5g} s")
        lines.append(f"  sound   {reader.has_sound or 'none'}")
        first = next(iter(reader))
        lines.append(f"  haze    {haziness(first.pixels):.2f} of 1 in the first frame")
        return "\n".join(lines)


def inspect_videos(where: str, videos: Sequence[VideoSource]) -> str:
    """How many videos there are in a folder, or match a pattern, and a line about each that can be
    read or cannot.

    Raises:
        UserError: the package av is not installed.
    """
    need_av()
    lines = [where, f"  videos: {len(videos)}"]
    for source in videos:
        name = source.name.with_name(source.name.name + Path(source.address).suffix)
        try:
            with closing(VideoReader(source)) as reader:
                said = f"{reader.codec}, {reader.frames or 'unknown'} frames, "
                said += f"{reader.width} x {reader.height} px, {float(reader.rate):.5g} frames/s"
        except UserError as error:
            said = str(error).removeprefix(f"{source}: ")
        lines.append(f"    {name}: {said}")
    return "\n".join(lines)
