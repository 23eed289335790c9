"""One video after the other, into one folder with one index: what ``predict`` and ``dehaze`` share
of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dmaskrcnn.errors import UserError, printable
from dmaskrcnn.images.convert_video import Converted
from dmaskrcnn.images.jobs import Summary
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import VideoSource
from dmaskrcnn.output_folder import OutputFolder

INDEX = "videos.json"


def each_video(
    sources: Sequence[VideoSource],
    output: OutputFolder,
    content: dict[str, Any],
    summary: Summary,
    run: Callable[[int, VideoReader], object],
    start: float = 0.0,
    end: float | None = None,
) -> None:
    """Open every video and let ``run`` have it; one that cannot be opened is named and skipped.

    The index is begun before the first of them and ended however this ends.

    Args:
        sources: what to read.
        output: where ``run`` writes what was claimed.
        content: of the index; gets the list ``skipped``.
        summary: is told what was done.
        run: given the number of the source and the reader, open and with its sound.
        start, end: seconds, as of `VideoReader`.

    Raises:
        UserError: no video at all can be read, or what ``run`` raises.
    """
    began = time.monotonic()
    content["skipped"] = []
    begun = complete = False
    try:
        for number, source in enumerate(sources):
            try:
                reader = VideoReader(source, start, end, sound=True)
            except UserError as error:
                if len(sources) == 1:
                    raise
                reason = str(error).removeprefix(f"{source}: ")
                summary.skipped.append((Path(str(source)), reason))
                content["skipped"].append({"file": str(source), "reason": reason})
                print(printable(f"skipped {source}: {reason}"), file=sys.stderr, flush=True)
                continue
            with closing(reader):
                if not begun:
                    output.begin(content)
                    begun = True
                run(number, reader)
            summary.images += 1
        complete = True
    finally:
        summary.seconds = time.monotonic() - began
        if begun:
            output.end(content, complete)
    if not summary.images:
        path, reason = summary.skipped[0]
        raise UserError(f"{path}: none of the {len(sources)} videos can be read ({reason})")


def entry_of(reader: VideoReader, done: Converted, complete: bool) -> dict[str, Any]:
    """What the index says of any video."""
    entry: dict[str, Any] = {"width": reader.width, "height": reader.height}
    entry |= {"rate": round(float(reader.rate), 4), "frames": done.frames}
    entry |= {"complete": complete, "notes": reader.notes}
    if reader.live:
        entry |= {"dropped": done.dropped, "reopened": reader.reopened}
    return entry


def say_notes(reader: VideoReader) -> None:
    """Tell what was odd on the way."""
    for note in reader.notes:
        print(printable(f"{reader.source}: {note}"), file=sys.stderr, flush=True)
