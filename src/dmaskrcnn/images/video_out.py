"""A video made of pictures: H.264 in an mp4, with the times of the frames it was made from and,
where there is any, their sound."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.images.open_video import need_av
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_frame import Frame

# the first that PyAV was built with; its wheels have all but OpenH264
ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "mpeg4")
# A 720p frame takes 4 to 8 ms of one core; `veryfast` at CRF 20 takes 8 to 20, for files that are
# a little larger and 0.3 to 1 dB nearer to the input. Without CABAC they are a fifth larger.
# B frames would delay the picture by two frames against the sound, as fragments hold no edit list
X264 = {"crf": "21", "preset": "ultrafast", "x264-params": "cabac=1:deblock=1", "bf": "0"}
# Whole however it ends: written in fragments, which a kill leaves playable, and turned into an
# ordinary mp4 when it is closed.
MP4 = {"movflags": "hybrid_fragmented", "frag_duration": "2000000"}
COPIED = frozenset(
    {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac", "mp2"}
)  # what an mp4 takes
CLOCK = Fraction(1, 90_000)  # seconds; of inputs whose own clock is no use
BT709, LIMITED = 1, 1  # ITU-T H.273: what players take for granted of HD


class VideoWriter:
    """A video being written. Its size is that of the first frame, made even, as H.264 wants it, by
    repeating the last row or column.

    Args:
        path: the .mp4; replaced where there is one.
        reader: the open input: its size, rate, clock and sound.

    Raises:
        UserError: the file cannot be written, or PyAV has no encoder for it.
    """

    def __init__(self, path: Path, reader: VideoReader):
        self.path = path
        self._av = need_av()
        self._size = (reader.width, reader.height)
        self._begin: Fraction | None = None
        self._clock = _clock(reader)
        self._last = -1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link is replaced, not followed
        whole = str(path.absolute())  # FFmpeg takes what stands before a colon for a protocol
        self._container = self._try(lambda: self._av.open(whole, "w", options=MP4))
        self._video = self._add_video(reader)
        self._sound = _Sound(self._av, self._container, reader) if reader.sound else None

    def _add_video(self, reader: VideoReader) -> Any:
        name = next((n for n in ENCODERS if _can(self._av, n)), None)
        if name is None:
            raise UserError(f"{self.path}: this build of PyAV cannot encode H.264; pip install av")
        options = X264 if name == "libx264" else {}
        stream = self._container.add_stream(name, rate=reader.rate, options=dict(options))
        context = stream.codec_context
        context.width, context.height = (side + side % 2 for side in self._size)
        context.pix_fmt = "yuv420p"
        context.time_base = self._clock
        context.sample_aspect_ratio = reader.aspect
        context.color_range, context.colorspace = LIMITED, BT709
        context.color_primaries = context.color_trc = BT709
        if name != "libx264":
            context.bit_rate = max(1_000_000, 4 * context.width * context.height)
        return stream

    def write(self, picture: np.ndarray, frame: Frame) -> None:
        """Append a frame and the sound before it.

        Args:
            picture: uint8 ``(H, W, 3)``, RGB; of another size than the first it is scaled.
            frame: what it was made from: its time and sound.
        """
        begin = self._begin = frame.time if self._begin is None else self._begin
        image = self._av.VideoFrame.from_numpy_buffer(self._fitted(picture), format="rgb24")
        image = image.reformat(format="yuv420p", dst_colorspace="ITU709")
        self._last = max(self._last + 1, round((frame.time - begin) / self._clock))
        image.pts, image.time_base = self._last, self._clock
        self._try(lambda: self._mux(self._video.encode(image)))
        if (heard := self._sound) is not None:
            self._try(lambda: self._mux(heard.take(frame.sound, begin)))

    def close(self, sound: list[Any] | None = None) -> None:
        """Write what is pending and the end of the file.

        Args:
            sound: packets after the last frame.
        """
        try:
            if (begin := self._begin) is not None:
                self._try(lambda: self._mux(self._video.encode(None)))
                if (heard := self._sound) is not None:
                    last = begin + self._last * self._clock
                    self._try(lambda: self._mux(heard.end(sound or [], begin, last)))
        finally:
            self._try(self._container.close)

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _fitted(self, picture: np.ndarray) -> np.ndarray:
        width, height = self._size
        if picture.shape[:2] != (height, width):
            picture = np.asarray(Image.fromarray(picture).resize((width, height)))
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return np.ascontiguousarray(picture)

    def _try(self, do: Any) -> Any:
        try:
            return do()
        except (OSError, self._av.error.FFmpegError) as error:
            said = getattr(error, "strerror", None) or first_line(error)
            raise UserError(
                f"{self.path}: cannot be written ({said}); free some space or choose another --out"
            ) from error


class _Sound:
    """The sound of a video: copied, or encoded anew where an mp4 cannot hold it."""

    def __init__(self, av: Any, container: Any, reader: VideoReader):
        source: Any = reader.sound
        self._reader = reader
        self._damaged = av.error.InvalidDataError
        self._copied = source.codec_context.name in COPIED
        if self._copied:
            self.stream = container.add_stream_from_template(source)
            self._last: int | None = None
        else:
            rate = source.codec_context.sample_rate
            layout = "mono" if source.codec_context.channels == 1 else "stereo"
            self.stream = container.add_stream("aac", rate=rate, layout=layout)
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)

    def take(self, packets: list[Any], begin: Fraction) -> list[Any]:
        """What to write for these packets of a video that begins at ``begin`` seconds."""
        if self._copied:
            return [p for packet in packets for p in self._shifted(packet, begin)]
        return [p for packet in packets for p in self._encoded(packet, begin)]

    def end(self, packets: list[Any], begin: Fraction, last: Fraction) -> list[Any]:
        """As ``take``, of the packets after the last frame (those later than it are left out where
        the video was cut), and what the encoder has left."""
        if self._reader.end is not None:
            packets = [p for p in packets if p.pts is None or self._at(p, begin) <= last - begin]
        out = self.take(packets, begin)
        if not self._copied:
            with suppress(Exception):  # nothing was encoded yet
                out += self.stream.encode(None)
        return out

    def _at(self, packet: Any, begin: Fraction) -> Fraction:
        """Seconds after the beginning of the video that is written."""
        return self._reader.sound_time(packet) - begin

    def _shifted(self, packet: Any, begin: Fraction) -> list[Any]:
        clock = Fraction(packet.time_base)
        at = self._at(packet, begin)
        if packet.pts is None or at < 0:
            return []
        pts = round(at / clock)
        if self._last is not None and pts <= self._last:
            return []
        self._last = packet.pts = packet.dts = pts
        packet.stream = self.stream
        return [packet]

    def _encoded(self, packet: Any, begin: Fraction) -> list[Any]:
        out = []
        at = self._at(packet, begin)
        if at < 0:
            return []
        try:
            decoded = packet.decode()
        except self._damaged:
            return []
        for frame in decoded:
            clock = Fraction(1, frame.sample_rate)
            frame.pts, frame.time_base = round(at / clock), clock
            at += frame.samples * clock
            for part in self._resampler.resample(frame):
                out += self.stream.encode(part)
        return out


def _clock(reader: VideoReader) -> Fraction:
    """The input's own where it is one of a file: the times then stay exactly what they are."""
    own = Fraction(reader.time_base or CLOCK)
    return own if reader.source.kind == "file" and own.denominator <= 1_000_000 else CLOCK


def _can(av: Any, encoder: str) -> bool:
    try:
        av.Codec(encoder, "w")
    except Exception:  # av.codec.codec.UnknownCodecError, whose place has moved
        return False
    return True
