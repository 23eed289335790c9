"""Small videos of many kinds, made by PyAV."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

RATE = 10


def scene(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 ``(height, width, 3)``: red on the left, blue on the right, green below, and above them
    a white bar that moves by 4 px a frame."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = (200, 30, 30), (30, 30, 200)
    pixels[height * 3 // 4 :] = (30, 160, 30)
    pixels[: height // 4, 4 * number : 4 * number + 8] = 255
    return pixels


def write_clip(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    times: Sequence[float] = tuple(number / RATE for number in range(10)),
    sound: bool = True,
) -> Path:
    """A video of `scene`, with a second of tone unless ``sound`` is False."""
    import av

    options = {"libx264": {"bf": "0"}, "libx265": {"x265-params": "log-level=error"}}
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=RATE, options=options.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        if sound:
            add_tone(file)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def add_tone(file: Any) -> None:
    """A second of sound."""
    import av

    stream = file.add_stream("aac", rate=16000, layout="mono")
    tone = np.sin(np.arange(16000) / 8).astype(np.float32)[None] * 0.3
    part = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
    part.sample_rate, part.pts = 16000, 0
    file.mux(stream.encode(part))
    file.mux(stream.encode(None))


def turn(path: Path) -> Path:
    """Tell in an mp4's display matrix that the picture is to be turned by 90° clockwise."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2: the matrix of version 0
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
