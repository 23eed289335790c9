"""Frames of a video as a folder of pictures, for the target of a training: one every second or so,
without those that look like one before.

``frames.json`` beside the pictures says, besides what every index says (see
`dmaskrcnn.output_folder`)::

    {"format": "dmaskrcnn frames 1", "complete": true,
     "key": "…",                                    digest of the video and of how it was sampled
     "video": "road.mp4", "every": 1.0,
     "times": {"000012.jpg": 12.0},                 seconds after the beginning
     "left_out": 48,                                frames that looked like one before
     "notes": []}
"""

from __future__ import annotations

import hashlib
import math
import sys
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from dmaskrcnn.data.image import list_images
from dmaskrcnn.data.similar import COPY, Novelty
from dmaskrcnn.errors import printable
from dmaskrcnn.files import file_digest, fitting, save_picture_whole
from dmaskrcnn.images.convert_video import FrameProgress
from dmaskrcnn.images.open_video import need_av
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import VideoSource
from dmaskrcnn.output_folder import OutputFolder

JPEG = {"quality": 95, "subsampling": 0}
LEAST = Fraction(1, 1000)  # seconds
AT_ONCE = 32  # pictures between two writes of frames.json


def frames_of_video(source: VideoSource, out: Path, every: float, progress: bool = True) -> Path:
    """Write frames of a video file as pictures into ``out/NAME-DIGEST``, unless they are there
    already from the same video and with the same ``every``.

    Args:
        source: a file.
        out: the folder of the folder; made where missing.
        every: seconds between two frames that are looked at.
        progress: report progress on stderr.

    Returns:
        The folder.

    Raises:
        UserError: the video cannot be read, the folder cannot be written or holds other things.
    """
    need_av()
    digest = file_digest(Path(source.address))
    key = hashlib.sha256(repr((digest, float(every), COPY, JPEG)).encode()).hexdigest()
    folder = out / fitting(Path(f"{source.name.name}-{key[:8]}"))
    # all that lies in it is trained on: a picture of somebody else's would be one of the frames
    output = OutputFolder(folder, "frames", "frames.json", sole=True)
    if not _is_whole(output, key):
        _write(source, output, every, key, progress)
    return folder


def _is_whole(output: OutputFolder, key: str) -> bool:
    content = output.content
    if not content or not content["complete"] or content.get("key") != key:
        return False
    return {output.name(path) for path in list_images(output.path)} == set(content["files"])


def _write(
    source: VideoSource, output: OutputFolder, every: float, key: str, progress: bool
) -> None:
    times: dict[str, float] = {}
    content: dict[str, Any] = {"key": key, "video": str(source), "every": every, "times": times}
    content |= {"left_out": 0, "notes": []}
    is_new, names, begun, complete = Novelty(), {}, False, False
    step = max(LEAST, Fraction(every).limit_denominator(1_000_000))
    with closing(VideoReader(source, apart=step)) as reader:
        content["notes"] = reader.notes
        total = None if reader.duration is None else math.ceil(reader.duration / step)
        report = FrameProgress(total, progress, f"frames of {source}")
        try:
            for frame in reader:
                number = frame.time // step
                if number not in names:  # the index knows of a file before it is there
                    ahead = range(number, number + AT_ONCE)
                    paths = output.claim([Path(f"{n:06d}.jpg") for n in ahead], rename=False)
                    names = dict(zip(ahead, paths, strict=True))
                    if begun:
                        output.note(content)
                    else:
                        output.begin(content, stale=lambda _: True)
                        begun = True
                picture = Image.fromarray(frame.pixels)
                if is_new(picture):
                    path = names[number]
                    output.write(path, partial(_save, picture))
                    times[output.name(path)] = round(float(frame.time), 3)
                else:
                    content["left_out"] += 1
                report.step()
            complete = True
        finally:
            report.close()
            if begun:
                output.end(content, complete)
    for note in reader.notes:
        print(printable(f"{source}: {note}"), file=sys.stderr, flush=True)
    said = f"{source}: {len(times)} frames, {content['left_out']} that looked like one before left"
    print(printable(f"{said} out: {output.path}"), file=sys.stderr, flush=True)


def _save(picture: Image.Image, path: Path) -> None:
    save_picture_whole(picture, path, format="JPEG", **JPEG)
