"""What a person sees of a training while it runs, and how it is asked to stop."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from dmaskrcnn.config.schedule import Phase, Schedule


class StopSignal:
    """The number of the signal that came, or 0."""

    signal = 0


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop after the current step; a second one
    acts as usual."""
    stop = StopSignal()
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        stop.signal = number
        signal.signal(number, previous[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    except ValueError:  # not in the main thread: signals are somebody else's business
        pass
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class ProgressBar:
    """A bar with the time left on a terminal; elsewhere a line at every twentieth part of the
    way."""

    def __init__(self, schedule: Schedule, iteration: int, enabled: bool) -> None:
        self.by_time = schedule.minutes > 0
        self.total = 60 * schedule.minutes if self.by_time else schedule.iterations
        self.enabled, self.tty = enabled, enabled and sys.stderr.isatty()
        self.began, self.first, self.spoken = time.monotonic(), iteration, 0
        by_time = {"unit": "s", "bar_format": "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"}
        unit: dict[str, Any] = by_time if self.by_time else {"unit": "it"}
        self.bar = tqdm(
            total=self.total,
            initial=0 if self.by_time else iteration,
            disable=not self.tty,
            dynamic_ncols=True,
            **unit,
        )

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, iteration: int, seconds: float, phase: Phase, status: str) -> None:
        """Report that ``iteration`` iterations and ``seconds`` are done."""
        done = min(seconds, self.total) if self.by_time else iteration
        if self.tty:
            self.bar.set_description(phase.name, refresh=False)
            self.bar.set_postfix_str(status, refresh=False)
            self.bar.update(done - self.bar.n)
        elif self.enabled and int(20 * done / self.total) > self.spoken:
            self.spoken = int(20 * done / self.total)
            per_unit = (
                1.0 if self.by_time else (time.monotonic() - self.began) / (iteration - self.first)
            )
            left = (self.total - done) * per_unit
            when = f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"
            print(
                f"{phase.name}: iteration {iteration}, {100 * done / self.total:.0f} %, "
                f"{status}, {when}",
                file=sys.stderr,
            )
