"""Frames of video files, streams and cameras, with the times at which they are shown; PyAV (the
extra ``video``) does the work."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.images.open_video import (
    PATIENCE,
    check_size,
    is_download,
    is_http,
    need_av,
    open_container,
    upright,
    video_stream,
)
from dmaskrcnn.images.video_frame import Frame
from dmaskrcnn.images.video_inputs import VideoSource
from dmaskrcnn.images.video_seek import seek

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each try to reopen a stream that dropped
CLOSED = 3  # tries where the server of an http stream closed it: most have come to their end
MISSING = Fraction(1, 2)  # seconds; sound that goes on for less after the last frame is usual
FASTEST = 480  # frames per second that a camera may take
USUAL_RATE = Fraction(25)  # of a stream that does not tell
UNKNOWN_SOUND = "its sound is left out: FFmpeg does not know its codec"


class VideoReader:
    """A video that is open. Iterating gives its frames, once; a stream that drops is reopened.

    Attributes:
        source: what is read.
        height, width: px, of the first frame, upright.
        rate: frames per second, on average.
        frames: how many there should be; None where the video does not tell.
        duration: seconds; None where it does not tell, as of a stream.
        live: frames come at their own pace and never end.
        codec: of the frames.
        sound: the sound's stream; None where there is none.
        aspect: width of a pixel over its height.
        reopened: how often a stream dropped and was reopened.
        notes: what was odd on the way, to tell the user.

    Args:
        source: what to read.
        start, end: seconds after the beginning; of a file or a stream.
        patience: seconds to wait for a stream's answer.
        waits: seconds before each try to reopen it.
        sound: also read the sound.
        apart: seconds between the frames that are given; 0: all.

    Raises:
        UserError: it cannot be opened, holds no frames or larger ones than allowed, or the first
            of them cannot be decoded.
    """

    def __init__(
        self,
        source: VideoSource,
        start: float = 0.0,
        end: float | None = None,
        *,
        patience: float = PATIENCE,
        waits: tuple[float, ...] = WAITS,
        sound: bool = False,
        apart: Fraction = Fraction(0),
    ):
        self._av = need_av()
        self.source, self.start, self.end = source, start, end
        self.patience, self.waits, self._with_sound = patience, waits, sound
        self._from = _exact(start)  # 0.4 is a little more than 2/5
        self._until = None if end is None else _exact(end)
        self._apart = apart
        self.reopened, self.notes, self.stopped = 0, [], False
        self.damaged = self._count = 0
        self._offset = Fraction(0)  # of a stream that was reopened
        self._last: Fraction | None = None
        self._open()
        video = self._video
        self.codec = str(video.codec_context.name)
        self.duration = self._known_duration()
        self.live = source.kind != "file" and self.duration is None
        self.live = self.live and not is_download(source, self._container)
        told = (video.average_rate, video.guessed_rate, video.base_rate)
        # some containers tell the rate of their clock
        self.rate = next((Fraction(r) for r in told if r and 0 < r <= FASTEST), USUAL_RATE)
        self.frames = self._known_frames()
        # raw frames have no times, and their demuxers but guess where one lies
        self._sought = bool(start) and not self.live and video.start_time is not None
        if self._sought:
            seek(source, self._container, start, self.duration)
        self._frames = self._all()
        try:
            self._first = next(self._frames, None)
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
            why = "none of its frames can be decoded" if self.damaged else "no frames in it"
            if (start or end is not None) and not self.damaged:
                why = "no frames between --start and --end"
            raise UserError(f"{source}: {why}; check the video")
        self.height, self.width = self._first.pixels.shape[:2]
        self.aspect = Fraction(video.sample_aspect_ratio or 1)

    def __iter__(self) -> Iterator[Frame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._frames

    def close(self) -> None:
        """Let go of the file or the connection."""
        self.stopped = True
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def time_base(self) -> Fraction | None:
        """Seconds of the clock that the frames' times are told in."""
        return self._video.time_base

    def sound_time(self, packet: Any) -> Fraction:
        """Seconds after the beginning of the video at which a packet of sound is heard."""
        at = (packet.pts or 0) * Fraction(packet.time_base)
        return at - (self._origin or 0) + self._offset

    def rest(self) -> list[Any]:
        """The packets of sound after the last frame."""
        return self._sound_waiting

    # --- opening ----------------------------------------------------------------------------------

    def _open(self) -> None:
        self._container = open_container(self.source, self.patience)
        self._video = video_stream(self.source, self._container)
        sounds = [one for one in self._container.streams.audio if one.codec_context is not None]
        if self._with_sound and self._container.streams.audio and not sounds:
            self.notes = self.notes or [UNKNOWN_SOUND]  # once, however often it is reopened
        self.sound = sounds[0] if self._with_sound and sounds else None
        self.has_sound = sounds[0].codec_context.name if sounds else None
        self._sound_waiting: list[Any] = []
        self._origin: Fraction | None = None

    def _known_duration(self) -> Fraction | None:
        video = self._video
        if self.source.kind == "camera":
            return None
        if video.duration is not None and video.time_base:
            return video.duration * Fraction(video.time_base)
        if self._container.duration is not None:
            return Fraction(self._container.duration, 1_000_000)
        return None

    def _known_frames(self) -> int | None:
        """Between ``start`` and ``end``."""
        if self.live:
            return None if self.end is None else max(1, round((self.end - self.start) * self.rate))
        if self.duration is None:
            return self._video.frames or None
        end = self.duration if self.end is None else min(self.duration, Fraction(self.end))
        if not self.start and end == self.duration and self._video.frames:
            return self._video.frames
        return max(1, round((end - Fraction(self.start)) * self.rate))

    # --- reading ----------------------------------------------------------------------------------

    def _all(self) -> Iterator[Frame]:
        """All frames from ``start`` to ``end``, over what breaks in between."""
        while True:
            dropped, closed = "it ended", True
            try:
                yield from self._until_end()
            except (self._av.error.FFmpegError, OSError) as error:
                if self.stopped:
                    return
                dropped = getattr(error, "strerror", None) or first_line(error)
                closed = error.errno == errno.EIO  # a body without a length ends so, too
                if isinstance(error, self._av.error.ExitError):
                    dropped = f"nothing came for {self.patience:g} s"
                if not self.live:
                    self.notes.append(f"reading stopped after {self._count} frames ({dropped})")
                    return
            if not self.live or self.stopped or self._ended:
                self._note_missing()
                return
            tries = CLOSED if closed and is_http(self.source) else len(self.waits)
            if not self._reopen(dropped, self.waits[:tries]):
                return

    def _note_missing(self) -> None:
        """Of a file that is shorter than it says, how much there is of it."""
        told = self.duration if not (self.stopped or self._ended) else None
        if told and self._last and told - self._last - 1 / self.rate > MISSING:
            self.notes.append(
                f"ends after {float(self._last):.1f} s, where it says {float(told):.1f} s; it may "
                "have been cut off"
            )

    _ended = False  # the time given as ``end`` has come

    def _reopen(self, why: str, waits: tuple[float, ...]) -> bool:
        lost = time.monotonic()
        self._container.close()
        for wait in waits:
            print(f"{self.source}: dropped ({why}); again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)
            if self.stopped:
                return False
            try:
                self._open()
            except UserError as error:
                why = str(error).removeprefix(f"{self.source}: ").partition(";")[0]
                continue
            self.reopened += 1
            # goes on where it stopped, after the time that has passed
            gone = Fraction(round((time.monotonic() - lost) * 1000), 1000)
            self._offset = (self._last or Fraction(0)) + max(gone, 1 / self.rate)
            return True
        self.notes.append(f"the stream did not come back after {len(waits)} tries ({why})")
        return False

    def _until_end(self) -> Iterator[Frame]:
        streams = [self._video] + ([self.sound] if self.sound is not None else [])
        for packet in self._container.demux(streams):
            if self.stopped:
                return
            if packet.stream is not self._video:
                if packet.dts is not None:
                    self._sound_waiting.append(packet)
                continue
            try:
                decoded = packet.decode()
            except self._av.error.InvalidDataError:
                self.damaged += 1
                continue
            for frame in decoded:
                at = self._time(frame)
                if self._until is not None and at >= self._until:
                    self._ended = True
                    return
                if at < self._from:
                    continue
                if self._apart:
                    self._from = (at // self._apart + 1) * self._apart
                yield self._frame(frame, at)

    def _time(self, frame: Any) -> Fraction:
        """Seconds after the beginning of the video, later than that of the frame before."""
        if frame.pts is None or not frame.time_base:
            first = Fraction(self.start if self._sought else 0)
            at = first if self._last is None else self._last + 1 / self.rate
        else:
            at = frame.pts * Fraction(frame.time_base)
            if self._origin is None:
                self._origin = self._beginning(at)
            at = at - self._origin + self._offset
            if self._last is not None and at <= self._last:  # a clock that was set back
                at = self._last + 1 / self.rate
        self._last = at
        return at

    def _beginning(self, first: Fraction) -> Fraction:
        """The time that counts as 0: its own beginning, or that of the first frame where it is
        live or does not tell."""
        start = self._video.start_time
        if not self.live and start is not None:
            return start * Fraction(self._video.time_base)
        return first

    def _frame(self, frame: Any, at: Fraction) -> Frame:
        check_size(self.source, frame.width, frame.height)
        number = round(at * self.rate) if self.start and not self.live else self._count
        self._count += 1
        sound, self._sound_waiting = self._sound_waiting, []
        return Frame(number, at, upright(frame), sound)


def _exact(seconds: float) -> Fraction:
    return Fraction(seconds).limit_denominator(1_000_000)
