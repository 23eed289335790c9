"""How a verb ends that is not let finish: by a signal, or because nobody reads it any more."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def termination_as_interrupt(enabled: bool) -> Iterator[None]:
    """Let SIGTERM end a verb like Ctrl-C, so that what is half done is kept; training has its own
    way to stop."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    try:
        previous = signal.signal(signal.SIGTERM, interrupt) if enabled else None
    except ValueError:  # not in the main thread
        previous = None
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def discard_output() -> None:
    """Let nothing more be said on an output that is gone, not even by Python's own flush at the
    end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
