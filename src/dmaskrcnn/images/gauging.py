"""How hazy each of many pictures is, and a video second by second: what ``dmaskrcnn gauge``
tells."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.errors import UserError, printable
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.images.open_video import need_av
from dmaskrcnn.images.picture_files import find_images
from dmaskrcnn.images.video_inputs import VideoSource, sort_inputs

NOWHERE = Path(os.devnull)  # no folder of pictures is written to


@dataclass(frozen=True)
class Gauged:
    """A picture and its haze.

    Attributes:
        file: as it was named; of a frame ``road.mp4#t=12``, 12 being its second (the fragment of
            W3C, Media Fragments URI 1.0).
        haze: see `haziness`, in [0, 1].
    """

    file: Path
    haze: float


def gauge_images(inputs: Sequence[Path | str]) -> list[Gauged]:
    """The haze of every image, in the order of names; unreadable ones are named on stderr and left
    out.

    Args:
        inputs: image files and videos, and folders of them, which are searched with all their
            subfolders. Of a video a frame every second is looked at.

    Raises:
        UserError: for a missing or empty input, a stream or camera, or if no image at all can be
            read.
    """
    pictures, videos = sort_inputs(inputs)
    if videos:
        need_av()
    files: list[Path] = []
    if pictures or not videos:
        files = [file for file, _ in find_images([Path(path) for path in pictures], NOWHERE)]
    found = list(_gauged(files)) + [one for source in videos for one in _frames(source)]
    if not found:
        count = len(files) + len(videos)
        raise UserError(f"{inputs[0]}: none of {count} images can be read; check the files")
    return found


def _frames(source: VideoSource) -> Iterator[Gauged]:
    from dmaskrcnn.images.video import VideoReader

    if source.kind != "file":
        raise UserError(f"{source}: has no end; record a video first, and name its file")
    try:
        with closing(VideoReader(source, apart=Fraction(1))) as reader:
            for frame in reader:
                name = f"{source.address}#t={float(frame.time):.5g}"
                yield Gauged(Path(name), haziness(frame.pixels))
    except UserError as error:
        print(printable(f"skipped {error}"), file=sys.stderr)


def _gauged(files: Sequence[Path]) -> Iterator[Gauged]:
    with ThreadPoolExecutor(2, "gauge") as threads:
        for file, result in zip(files, threads.map(_try, files), strict=True):
            if isinstance(result, UserError):
                print(printable(f"skipped {result}"), file=sys.stderr)
            else:
                yield Gauged(file, result)


def _try(file: Path) -> float | UserError:
    try:
        return haziness(decode_image(file))
    except UserError as error:
        return error


# how what is told begins: csv, json, a table
TOLD = r'file,haze\n|\[\n  \{\n    "file": |( \d|\d\d)\.\d\d [#.]{10} '


def told(gauged: Sequence[Gauged], form: str) -> str:
    """As text that ends with a line's end: a ``table``, ``json`` or ``csv``."""
    rows = [(one.file.as_posix(), round(one.haze, 3)) for one in gauged]
    if form == "json":
        return json.dumps([{"file": file, "haze": haze} for file, haze in rows], indent=2) + "\n"
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("file", "haze"), *rows])
        return text.getvalue()
    lines = [f"{haze:5.2f} {_bar(haze)} {printable(file)}" for file, haze in rows]
    middle = sorted(haze for _, haze in rows)[len(rows) // 2]
    return "\n".join([*lines, f"{len(rows)} images, median haze {middle:.2f}"]) + "\n"


def _bar(haze: float) -> str:
    return ("#" * round(10 * haze)).ljust(10, ".")
