"""Many images in, a file or more for each: what ``predict``, ``dehaze`` and ``haze`` share.

Reading and writing run in threads beside the work itself, so that neither waits for the other. What
is done when an error or Ctrl-C ends a run stays and is listed.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from tqdm import tqdm

from dmaskrcnn.errors import UserError, printable
from dmaskrcnn.output_folder import OutputFolder


@dataclass(frozen=True)
class Job:
    """One image: its file, and the path that what is made of it should keep."""

    source: Path
    name: Path


AnyJob = TypeVar("AnyJob", bound=Job)
Task = TypeVar("Task")
Input = TypeVar("Input")


@dataclass
class Outcome:
    """What ``run_jobs`` did.

    Attributes:
        done: what the writers returned, in the order of the jobs.
        skipped: file and reason of each image that could not be read.
        seconds: wall time, reading and writing included.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Summary:
    """What a verb did, for the person who called it.

    Attributes:
        out: the folder with the pictures.
        images: the number of images that were read.
        skipped: file and reason of each that could not be read.
        seconds: wall time, reading and writing included.
    """

    out: Path
    images: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0

    def line(self, did: str) -> str:
        """What was done, in one line; ``did`` says it in a few words."""
        skipped = f", {len(self.skipped)} unreadable skipped" if self.skipped else ""
        return f"{did}{skipped}, {self.seconds:.1f} s: {self.out}"


def run_jobs(
    jobs: Sequence[AnyJob],
    read: Callable[[AnyJob], Input],
    work: Callable[[list[tuple[AnyJob, Input]]], Sequence[Callable[[], dict[str, Any]]]],
    output: OutputFolder,
    options: Mapping[str, Any],
    *,
    listed_as: str = "images",
    stale: Callable[[PurePosixPath], bool] = lambda _: False,
    last: Callable[[list[dict[str, Any]]], object] = lambda _: None,
    size: int = 1,
    progress: bool = True,
) -> Outcome:
    """Read, work on and write every image.

    The index of the output folder is begun before the first file is written, so not if no image
    can be read or worked on, and ended however this ends, with what was done until then.

    Args:
        jobs: one per image.
        read: run in a thread; a job for which it raises UserError is named and skipped.
        work: run in the calling thread on batches of what was read; gives a writer per job, to be
            run in a thread, which gives the image's entry in the index.
        output: where the writers write what was claimed.
        options: for the index: how the pictures are made.
        listed_as: the name of the list of entries in the index.
        stale: which files of earlier runs make way, see `OutputFolder.begin`.
        last: writes files that follow the pictures, given the entries.
        size: of the batches.
        progress: report progress on stderr.

    Raises:
        UserError: no image at all can be read, or what ``work``, a writer or ``last`` raises.
    """
    outcome, complete, begun = Outcome(), False, False
    start = time.monotonic()
    report = Progress(len(jobs), progress, output.verb)

    def content() -> dict[str, Any]:
        skipped = [{"file": path.as_posix(), "reason": why} for path, why in outcome.skipped]
        return {**options, listed_as: outcome.done, "skipped": skipped}

    def unreadable(job: AnyJob, error: UserError) -> None:
        reason = str(error).removeprefix(f"{job.source}: ")
        outcome.skipped.append((job.source, reason))
        report.say(f"skipped {job.source}: {reason}")
        report.step()

    with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "write") as writers:
        writing: deque[Future[dict[str, Any]]] = deque()

        def finish(most: int) -> None:
            """Waits until at most so many files are being written: large images take a lot of
            memory."""
            while len(writing) > most:
                outcome.done.append(writing[0].result())
                writing.popleft()  # only now: an interruption while waiting loses nothing
                report.step()

        try:
            for batch in read_batches(jobs, read, readers, size, unreadable):
                to_write = work(batch)
                if not begun:
                    output.begin(content(), stale)
                    begun = True
                writing.extend(writers.submit(write) for write in to_write)
                finish(most=max(2, size))
            finish(most=0)
            complete = True
        finally:
            readers.shutdown(cancel_futures=True)
            for future in writing:
                with suppress(Exception):  # the first failure is the one to report
                    outcome.done.append(future.result())
            report.close()
            outcome.seconds = time.monotonic() - start
            if begun:
                with suppress(*(() if complete else (UserError,))):  # the same
                    if outcome.done:
                        last(outcome.done)
                    output.end(content(), complete)
    if not outcome.done:
        path, reason = outcome.skipped[0]
        raise UserError(
            f"{path}: none of the {len(jobs)} images can be read ({reason}); check the files"
        )
    return outcome


def read_batches(
    jobs: Iterable[Task],
    read: Callable[[Task], Input],
    readers: Executor,
    size: int,
    unreadable: Callable[[Task, UserError], None],
) -> Iterator[list[tuple[Task, Input]]]:
    """What was read, in batches of a size; while one is in use, the next is being read. Of a job
    for which ``read`` raises UserError, ``unreadable`` is told."""
    waiting, more = iter(jobs), True
    reading: deque[tuple[Task, Future[Input]]] = deque()
    batch: list[tuple[Task, Input]] = []
    while more or reading:
        while more and len(reading) < 2 * size:
            job = next(waiting, None)
            more = job is not None
            if job is not None:
                reading.append((job, readers.submit(read, job)))
        if not reading:
            break
        job, image = reading.popleft()
        try:
            batch.append((job, image.result()))
        except UserError as error:
            unreadable(job, error)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class Progress:
    """Progress on stderr: a bar with the time left on a terminal, otherwise a line at about every
    tenth of the images."""

    def __init__(self, total: int, enabled: bool, verb: str):
        self.total, self.enabled, self.verb = total, enabled, verb
        self.done, self.start = 0, time.monotonic()
        on_terminal = enabled and sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=verb, unit="image") if on_terminal else None

    def step(self, images: int = 1) -> None:
        """So many images more are done."""
        before, self.done = self.done, self.done + images
        if self.bar is not None:
            self.bar.update(images)
        elif self.enabled and self.done * 10 // self.total > before * 10 // self.total:
            left = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            print(
                f"{self.verb}: {self.done}/{self.total} images, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def say(self, line: str) -> None:
        """A line of its own, without breaking the bar; said even where progress is not wanted."""
        line = printable(line)
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
