"""What is dropped on the page: a picture, or a frame of a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmaskrcnn.data.image import decode_image, is_image
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.images.open_video import PATIENCE, need_av, open_container
from dmaskrcnn.images.video_inputs import VideoSource


def read_dropped(path: Path, second: float = 0.0) -> Tensor:
    """The picture, or the frame of the video at that second: uint8 ``(3, H, W)``, RGB.

    Raises:
        UserError: it can be read as neither.
    """
    return decode_image(path) if is_image(path) else _frame(path, second)


def video_seconds(path: Path) -> float:
    """The length of a video; 0 where it is not known. Raises UserError as `read_dropped`."""
    av = need_av()
    with _open(path) as video:
        return (video.duration or 0) / av.time_base


def _frame(path: Path, second: float) -> Tensor:
    av = need_av()
    try:
        with _open(path) as video:
            stream = video.streams.video[0]
            video.seek(int(second * av.time_base))  # to the key frame before
            frame = None
            for frame in video.decode(stream):
                if frame.time is None or frame.time >= second:
                    break
            if frame is None:
                raise UserError(f"{path}: holds no frame that can be read; choose another video")
            return torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise _unreadable(path, error) from error


def _open(path: Path) -> Any:
    """As the command line opens it: no playlist that names other files."""
    try:
        return open_container(VideoSource(str(path), "file", Path(path.stem)), PATIENCE)
    except UserError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or first_line(error)
    return UserError(f"{path}: is no picture and no video that can be read ({reason})")
