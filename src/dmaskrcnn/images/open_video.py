"""Opening a video file, a stream or a camera through PyAV, and its frames as arrays."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.extras import install_command
from dmaskrcnn.images.video_inputs import VideoSource

PATIENCE = 10.0  # seconds without an answer; cameras take up to 3 to begin
# Containers of frames alone: playlists and scripts could name any other file or address.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,m4v,h264,hevc,"
    "mjpeg,ivf,gif"
)
STREAM_FORMATS = FORMATS + ",rtsp,rtp,sdp,hls,applehttp,mpjpeg,live_flv"
STREAM_PROTOCOLS = "rtsp,rtsps,rtp,http,https,httpproxy,tcp,udp,tls,crypto,rtmp,rtmps,rtmpt,srt"


def need_av() -> ModuleType:
    """PyAV. Raises UserError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"videos need the package av, which is not installed: {install_command('video')}"
        ) from error
    return av


def open_container(source: VideoSource, patience: float) -> Any:
    """PyAV's container of it.

    Raises:
        UserError: it is not there, is no video, or does not answer within ``patience`` seconds.
    """
    av, began = need_av(), time.monotonic()
    if source.kind == "file" and not os.path.isfile(source.address):
        raise UserError(f"{source}: no such file; check the path")
    try:
        if source.kind == "file":
            options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
            # not as it is: FFmpeg takes what stands before a colon for a protocol
            return av.open(str(Path(source.address).absolute()), options=options)
        limits = (patience, patience)
        if source.kind == "camera":
            return av.open(_camera(int(source.address)), format="v4l2", timeout=limits)
        options = {"format_whitelist": STREAM_FORMATS, "protocol_whitelist": STREAM_PROTOCOLS}
        if source.address.lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # over UDP frames arrive with holes
        return av.open(source.address, options=options, timeout=limits)
    except UserError:
        raise
    except Exception as error:  # FFmpeg's are of many kinds
        said = getattr(error, "strerror", None) or first_line(error)
        if source.kind == "file":
            raise UserError(
                f"{source}: cannot be read as a video ({said}); check the file"
            ) from error
        if time.monotonic() - began >= patience:  # by now FFmpeg has other names for it
            said = f"no answer within {patience:g} s"
        raise UserError(
            f"{source}: {said}; check the address, and that the camera is on"
        ) from error


def video_stream(source: VideoSource, container: Any) -> Any:
    """The stream of frames, whose decoder refuses those that are larger than allowed.

    Raises:
        UserError: there is none, its frames are too large, or no decoder knows them.
    """
    if not container.streams.video:
        container.close()
        raise UserError(f"{source}: holds no frames; name a video")
    video = container.streams.video[0]
    if (context := video.codec_context) is None:
        container.close()
        raise UserError(f"{source}: its codec is not known to FFmpeg; convert it first")
    check_size(source, context.width, context.height)
    if most := Image.MAX_IMAGE_PIXELS:  # for what grows later
        context.options = {**context.options, "max_pixels": str(min(most, 2**31 - 1))}
    video.thread_type = "AUTO"
    return video


def is_http(source: VideoSource) -> bool:
    """Whether it comes over HTTP."""
    return source.kind == "stream" and source.address.lower().startswith("http")


def is_download(source: VideoSource, container: Any) -> bool:
    """Whether it is a file that comes over HTTP, of a length that its server told."""
    # the playlist of a live stream has a length, too, and cameras make one up for their JPEGs
    live = container.format.name in ("hls", "mpjpeg")
    return is_http(source) and not live and container.size > 0


def _camera(number: int) -> str:
    if sys.platform != "linux":
        raise UserError(
            f"camera {number}: cameras are read through Video4Linux, which only Linux has; give "
            "the camera's rtsp:// or http:// address"
        )
    device = f"/dev/video{number}"
    if not os.path.exists(device):
        raise UserError(
            f"camera {number}: there is no {device}; plug it in, or give the number of another"
        )
    return device


def check_size(source: VideoSource, width: int, height: int) -> None:
    """Raises UserError where frames have more pixels than pictures may have."""
    most = Image.MAX_IMAGE_PIXELS
    if most and width * height > most:
        raise UserError(
            f"{source}: its frames have {width * height / 1e6:.0f} megapixels, more than "
            f"{most / 1e6:g}; reduce them, or raise --max-pixels"
        )


def upright(frame: Any) -> np.ndarray:
    """A decoded frame as uint8 ``(H, W, 3)``, RGB, turned as the camera says."""
    pixels = frame.to_ndarray(format="rgb24")
    if turns := round((frame.rotation or 0) / 90) % 4:
        pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels)


def parse_time(text: str, flag: str) -> float | None:
    """Seconds, from ``90``, ``1:30`` or ``0:01:30.5``; None of an empty text.

    Raises:
        UserError: naming the flag.
    """
    if not text:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
        if not 1 <= len(parts) <= 3 or not all(0 <= part < float("inf") for part in parts):
            raise ValueError
    except ValueError:
        raise UserError(f"{flag} {text}: no time; give seconds, or hh:mm:ss") from None
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
