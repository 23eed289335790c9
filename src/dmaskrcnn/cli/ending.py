"""How a verb ends that is not let finish: by a signal, or because nobody reads it any more."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dmaskrcnn.errors import UserError, first_line, printable


@contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """End a program that fails. Bad input: one line on stderr and exit code 2; Ctrl-C: 130."""
    try:
        yield
    except UserError as error:
        print(f"{program}: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as interruption:
        print(f"{program}: interrupted", file=sys.stderr)
        raise SystemExit(128 + (interruption.args or (signal.SIGINT,))[0]) from None
    except BrokenPipeError:  # the reader (`| head`) has gone
        discard_output()
        raise SystemExit(141) from None
    except OSError as error:  # a full disk below `>`, a file that vanished or may not be read
        discard_output()
        said = f"{error.filename or 'output'}: {error.strerror or first_line(error)}"
        print(f"{program}: {printable(said)}", file=sys.stderr)
        raise SystemExit(2) from None


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
