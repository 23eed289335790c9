"""Many images in, a file or more for each: what ``predict``, ``dehaze`` and ``haze`` share.

Reading and writing run in threads beside the work itself, so that neither waits for the other. What
is done when an error or Ctrl-C ends a run stays and is listed; nothing but what an earlier run
wrote is ever overwritten.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tqdm import tqdm

from dmaskrcnn.errors import UserError


class HasSource(Protocol):
    """What ``run_jobs`` asks of a job."""

    @property
    def source(self) -> Path:
        """The image file."""
        ...


AnyJob = TypeVar("AnyJob", bound=HasSource)
Input = TypeVar("Input")
Entry = TypeVar("Entry")


@dataclass
class Outcome(Generic[Entry]):
    """What ``run_jobs`` did.

    Attributes:
        done: what the writers returned, in the order of the jobs.
        skipped: file and reason of each image that could not be read.
        complete: False while running, and after an error or an interruption.
        seconds: wall time, reading and writing included.
    """

    done: list[Entry] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0

    @property
    def skipped_entries(self) -> list[dict[str, str]]:
        """``skipped`` for a JSON file."""
        return [{"file": path.as_posix(), "reason": reason} for path, reason in self.skipped]


def run_jobs(
    jobs: Sequence[AnyJob],
    read: Callable[[AnyJob], Input],
    work: Callable[[list[tuple[AnyJob, Input]]], Iterable[Callable[[], Entry]]],
    save: Callable[[Outcome[Entry]], object],
    verb: str,
    size: int = 1,
    progress: bool = True,
) -> Outcome[Entry]:
    """Read, work on and write every image.

    Args:
        jobs: one per image.
        read: run in a thread; a job for which it raises UserError is named and skipped.
        work: run in the calling thread on batches of what was read; gives a writer per job, to be
            run in a thread.
        save: called once at the end, if anything is done and however it ends: for the file that
            lists it.
        verb: for the progress on stderr.
        size: of the batches.
        progress: report progress.

    Raises:
        UserError: no image at all can be read, or what ``work``, a writer or ``save`` raises.
    """
    outcome: Outcome[Entry] = Outcome()
    start = time.monotonic()
    report = Progress(len(jobs), progress, verb)
    with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "write") as writers:
        writing: deque[Future[Entry]] = deque()

        def finish(most: int) -> None:
            """Waits until at most so many files are being written: large images take a lot of
            memory."""
            while len(writing) > most:
                outcome.done.append(writing[0].result())
                writing.popleft()  # only now: an interruption while waiting loses nothing
                report.step()

        try:
            for batch in _read_batches(jobs, read, readers, size, outcome.skipped, report):
                writing.extend(writers.submit(write) for write in work(batch))
                finish(most=max(2, size))
            finish(most=0)
            outcome.complete = True
        finally:
            readers.shutdown(cancel_futures=True)
            for future in writing:
                with suppress(Exception):  # the first failure is the one to report
                    outcome.done.append(future.result())
            report.close()
            outcome.seconds = time.monotonic() - start
            if outcome.done:
                with suppress(*(() if outcome.complete else (UserError,))):  # the same
                    save(outcome)
    if not outcome.done:
        path, reason = outcome.skipped[0]
        raise UserError(
            f"{path}: none of the {len(jobs)} images can be read ({reason}); check the files"
        )
    return outcome


def _read_batches(
    jobs: Sequence[AnyJob],
    read: Callable[[AnyJob], Input],
    readers: ThreadPoolExecutor,
    size: int,
    skipped: list[tuple[Path, str]],
    report: Progress,
) -> Iterator[list[tuple[AnyJob, Input]]]:
    """What was read, in batches; while one is in use, the next is being read. Unreadable ones go to
    ``skipped``."""
    waiting = deque(jobs)
    reading: deque[tuple[AnyJob, Future[Input]]] = deque()
    batch: list[tuple[AnyJob, Input]] = []
    while waiting or reading:
        while waiting and len(reading) < 2 * size:
            job = waiting.popleft()
            reading.append((job, readers.submit(read, job)))
        job, image = reading.popleft()
        try:
            batch.append((job, image.result()))
        except UserError as error:
            reason = str(error).removeprefix(f"{job.source}: ")
            skipped.append((job.source, reason))
            report.say(f"skipped {job.source}: {reason}")
            report.step()
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class Progress:
    """Progress on stderr: a bar with the time left on a terminal, otherwise a line at about every
    tenth of the images."""

    def __init__(self, total: int, enabled: bool, verb: str):
        self.total, self.done, self.enabled, self.verb, self.start = (
            total,
            0,
            enabled,
            verb,
            time.monotonic(),
        )
        on_terminal = enabled and sys.stderr.isatty()
        self.bar = (
            tqdm(total=total, desc=verb, unit="image", file=sys.stderr) if on_terminal else None
        )

    def step(self) -> None:
        """One image more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif self.enabled and self.done * 10 // self.total > (self.done - 1) * 10 // self.total:
            left = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            print(
                f"{self.verb}: {self.done}/{self.total} images, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def say(self, line: str) -> None:
        """A line of its own, without breaking the bar; said even where progress is not wanted."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
