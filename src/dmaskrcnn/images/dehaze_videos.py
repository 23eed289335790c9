"""Dehazes videos: for each a video of the same size and rate, with its sound.

    dmaskrcnn dehaze road.mp4 --out clear

``videos.json`` says, besides what every index says (see `dmaskrcnn.output_folder`)::

    {"format": "dmaskrcnn dehaze video 1", "complete": true,
     "method": "dark-channel-robust", "weights": null, "ignore_rows": null,
     "videos": [{"file": "road.mp4", "video": "road.mp4", "width": 640, "height": 480,
                 "rate": 25.0, "frames": 250, "complete": true, "notes": []}],
     "skipped": [{"file": "broken.mp4", "reason": "…"}]}

Every frame is dehazed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dmaskrcnn.dehazing.dehazer import Dehazer
from dmaskrcnn.images.convert_video import Converted, Result, convert_video
from dmaskrcnn.images.each_video import INDEX, each_video, entry_of, say_notes
from dmaskrcnn.images.jobs import Summary
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_frame import Frame
from dmaskrcnn.images.video_inputs import VideoSource
from dmaskrcnn.output_folder import OutputFolder


class DehazedVideos(Summary):
    """What ``dehaze_videos`` did; ``images`` are videos."""

    def __str__(self) -> str:
        return self.line(f"{self.images} videos dehazed")


def dehaze_videos(
    dehazer: Dehazer, sources: Sequence[VideoSource], out: Path | str, progress: bool = True
) -> DehazedVideos:
    """Writes a dehazed video for every source, and ``videos.json`` (see the module), into ``out``.

    What is interrupted leaves a video that can be played, and an index that says it is incomplete.

    Args:
        dehazer: the method.
        sources: what to read, one after the other.
        out: the folder to write to; made where missing. Files that no earlier run of this function
            wrote are never overwritten.
        progress: report progress on stderr.

    Raises:
        UserError: a file that cannot be written, or no video at all can be read.
    """
    output = OutputFolder(Path(out), "dehaze video", INDEX)
    names = [source.name.with_name(f"{source.name.name}.mp4") for source in sources]
    claimed = output.claim(names, [Path(s.address) for s in sources if s.kind == "file"])
    summary, entries = DehazedVideos(output.path), []
    content: dict[str, Any] = {
        "method": dehazer.method,
        "weights": dehazer.weights.name if dehazer.weights else None,
        "ignore_rows": dehazer.ignore_rows,
        "videos": entries,
    }

    def work(frames: list[Frame]) -> list[Result]:
        clear = [_array(dehazer(frame.image)[0]) for frame in frames]
        return [Result(lambda _, picture=picture: picture) for picture in clear]

    def run(number: int, reader: VideoReader) -> None:
        video, done, complete = claimed[number], Converted(), False
        output.wrote(video)
        try:
            convert_video(reader, video, work, done, verb="dehaze", progress=progress)
            complete = True
        finally:
            said = {"file": str(reader.source), "video": output.name(video)}
            entries.append(said | entry_of(reader, done, complete))
            say_notes(reader)

    each_video(sources, output, content, summary, run)
    return summary


def _array(image: Any) -> np.ndarray:
    return image.permute(1, 2, 0).contiguous().cpu().numpy()
