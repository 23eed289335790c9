"""What is dropped on the page: a picture, or a frame of a video."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from torch import Tensor

from dmaskrcnn.data.image import decode_image, is_image
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import VideoSource


def read_dropped(path: Path, second: float = 0.0) -> Tensor:
    """The picture, or the frame of the video at that second, upright: uint8 ``(3, H, W)``, RGB.

    Raises:
        UserError: it can be read as neither.
    """
    return decode_image(path) if is_image(path) else _frame(path, second)


def video_seconds(path: Path) -> float:
    """The length of a video; 0 where it is not known. Raises UserError as `read_dropped`."""
    with closing(open_dropped(path)) as reader:
        return float(reader.duration or 0)


def open_dropped(path: Path, start: float = 0.0) -> VideoReader:
    """The video from that second on. Raises UserError as `read_dropped`."""
    source = dropped_source(path)
    try:
        return VideoReader(source, start)
    except UserError as error:
        reason = str(error).removeprefix(f"{source}: ")
        raise UserError(f"{path}: is no picture and no video that can be read ({reason})") from None


def dropped_source(path: Path) -> VideoSource:
    """A file whatever its name: no stream, no camera, no pattern."""
    return VideoSource(str(path), "file", Path(path.stem))


def _frame(path: Path, second: float) -> Tensor:
    # a video may show its last frame for long, or sound on after it
    for start in dict.fromkeys((second, max(0.0, second - 1), 0.0)):
        try:
            with closing(open_dropped(path, start)) as reader:
                return next(iter(reader)).image
        except UserError:
            if not start:
                raise
    raise AssertionError("the last start is 0")
