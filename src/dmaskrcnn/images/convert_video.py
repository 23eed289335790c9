"""A video in, a video of the same size and rate out: reading, work and writing overlap.

One thread reads, the caller's works, and others draw and encode; FFmpeg and torch let them run at
the same time. What is done when an error or Ctrl-C ends a run is a video that can be played.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_frame import Frame
from dmaskrcnn.images.video_out import VideoWriter

AHEAD = 8  # frames read before they are wanted: 50 MB of 1080p
BEHIND = 8  # frames waiting to be written
MOST_HELD = 32  # frames in a batch, counting those that are not looked at
SECONDS = 30.0  # between two lines about an endless stream, where stderr is no terminal


@dataclass
class Result:
    """What the work made of a frame.

    Attributes:
        draw: gives the picture of a frame, uint8 ``(H, W, 3)``: of this one, and of those after it
            that are not looked at. Run in threads.
        record: called once the frame is written, in the order of the frames.
    """

    draw: Callable[[Frame], np.ndarray]
    record: Callable[[], object] = lambda: None


@dataclass
class Converted:
    """What ``convert_video`` did, also when it was interrupted.

    Attributes:
        frames: written.
        looked_at: frames that were worked on.
        dropped: frames of a live stream for which there was no time.
        seconds: wall time.
    """

    frames: int = 0
    looked_at: int = 0
    dropped: int = 0
    seconds: float = 0.0


def convert_video(
    reader: VideoReader,
    path: Path | None,
    work: Callable[[list[Frame]], Sequence[Result]],
    done: Converted,
    *,
    size: int = 1,
    every: int = 1,
    verb: str = "",
    progress: bool = True,
    show: Callable[[np.ndarray], None] | None = None,
) -> None:
    """Write the video ``path``, with what ``work`` makes of its frames.

    Args:
        reader: the open video.
        path: the .mp4 to write; None: nothing is drawn but for ``show``.
        work: run in the calling thread on batches of frames; gives a result for each.
        done: is kept up to date, so that it also tells of a run that ends early.
        size: of the batches. Of a live stream they are what has come in the meantime.
        every: look at each so-many-th frame; those in between are drawn with the result before.
        verb: what progress is reported of.
        progress: report it on stderr.
        show: shows a picture; called in the calling thread with the newest there is.

    Raises:
        UserError: the video cannot be written; or what ``work`` raises.
    """
    start = time.monotonic()
    frames = _ReadAhead(reader)
    report = FrameProgress(reader.frames, progress, f"{verb} {reader.source}")
    newest: list[np.ndarray] = []
    writer = None if path is None else VideoWriter(path, reader)

    def write(picture: Future[np.ndarray] | None, frame: Frame, result: Result | None) -> None:
        pixels = None if picture is None else picture.result()
        if writer is not None and pixels is not None:
            writer.write(pixels, frame)
        if result is not None:
            result.record()
        done.frames += 1
        if show is not None and pixels is not None:
            newest[:] = [pixels]

    with ThreadPoolExecutor(2, "draw") as drawers, ThreadPoolExecutor(1, "write") as writers:
        writing: deque[Future[None]] = deque()

        def finish(most: int) -> None:
            while len(writing) > most:
                writing[0].result()
                writing.popleft()  # only now: an interruption while waiting loses nothing
                report.step()

        try:
            last: Result | None = None
            for batch in _batches(frames, size, every):
                results = iter(work([frame for frame, looked in batch if looked]))
                for frame, looked in batch:
                    last = next(results) if looked else last
                    assert last is not None  # the first frame is always looked at
                    wanted = writer is not None or show is not None
                    drawn = drawers.submit(last.draw, frame) if wanted else None
                    writing.append(writers.submit(write, drawn, frame, last if looked else None))
                    done.looked_at += looked
                    finish(most=BEHIND)
                if show is not None and newest:
                    show(newest[0])
            finish(most=0)
        finally:
            whole = sys.exc_info()[0] is None
            frames.close()
            for future in writing:
                with suppress(Exception):  # the first failure is the one to report
                    future.result()
            report.close()
            done.dropped, done.seconds = frames.dropped, time.monotonic() - start
            if writer is not None:
                with suppress(*(() if whole else (Exception,))):  # the same
                    writer.close(reader.rest())


def _batches(frames: _ReadAhead, size: int, every: int) -> Iterator[list[tuple[Frame, bool]]]:
    """Frames in their order, each with whether it is looked at, ``size`` of which make a batch."""
    batch: list[tuple[Frame, bool]] = []
    looked = 0
    for count, frame in enumerate(frames):
        chosen = count % every == 0
        batch.append((frame, chosen))
        looked += chosen
        if looked == size or len(batch) == MOST_HELD or (frames.live and frames.empty()):
            yield batch
            batch, looked = [], 0
    if batch:
        yield batch


class _ReadAhead:
    """The frames of a video, read in a thread. Of a live stream those are left out for which there
    is no time, the oldest first; their sound is kept."""

    def __init__(self, reader: VideoReader):
        self.live, self.dropped = reader.live, 0
        self._reader = reader
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(AHEAD)
        self._closed = False
        # not waited for at exit: it may hang in a connection
        self._thread = threading.Thread(target=self._read, daemon=True, name="read")
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def empty(self) -> bool:
        return self._queue.empty()

    def close(self) -> None:
        self._closed = self._reader.stopped = True
        self._thread.join(2.0)

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for frame in self._reader:
                self._put(frame)
                if self._closed:
                    return
        except BaseException as error:
            end = error
        self._put(end)

    def _put(self, item: Frame | BaseException | None) -> None:
        while not self._closed:
            try:
                self._queue.put(item, timeout=0.0 if self.live else 0.2)
                return
            except queue.Full:
                if self.live:
                    self._drop_oldest()

    def _drop_oldest(self) -> None:
        with suppress(queue.Empty):
            old = self._queue.get_nowait()
            if isinstance(old, Frame):
                self.dropped += 1
                with self._queue.mutex:  # the sound goes with the frame that is next now
                    if self._queue.queue:
                        self._queue.queue[0].sound[:0] = old.sound


class FrameProgress:
    """Progress on stderr, with frames per second and the time left: a bar on a terminal, otherwise
    a line at about every tenth, or twice a minute where the end is not known."""

    def __init__(self, total: int | None, enabled: bool, what: str):
        self.total, self.what, self.done = total, what, 0
        self.start = self.said = time.monotonic()
        terminal = enabled and sys.stderr.isatty()
        self.enabled = enabled and not terminal
        self.bar = tqdm(total=total, desc=what, unit="frame") if terminal else None

    def step(self) -> None:
        """One frame more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        if not self.enabled:
            return
        now = time.monotonic()
        if self.total:
            due = self.done * 10 // self.total > (self.done - 1) * 10 // self.total
        else:
            due = now - self.said >= SECONDS
        if due:
            self.said = now
            rate = self.done / max(now - self.start, 1e-9)
            text = f"{self.what}: {self.done}{f'/{self.total}' if self.total else ''} frames"
            text += f", {rate:.1f} frames/s"
            if self.total:
                text += f", {max(0, self.total - self.done) / rate:.0f} s left"
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
