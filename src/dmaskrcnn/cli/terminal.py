"""What reaches the terminal: only what this program says, and nothing that a terminal obeys."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from dmaskrcnn.errors import printable


class _Harmless:
    """A stream that shows what the terminal would obey, such as escapes in the name of a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):  # letters that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]

    def write(self, text: str) -> int:
        return self._stream.write(printable(text, lines=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def harmless_output() -> Iterator[None]:
    """Show all that is printed as `printable` text."""
    out: Any = _Harmless(sys.stdout)
    err: Any = _Harmless(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        yield


def quiet_libraries() -> None:
    """Keep warnings of libraries, which are about their use and not about the user's input, from
    the terminal, unless Python was told (``-W``, ``PYTHONWARNINGS``) what to do with them.

    For the program, not for the package: whoever imports that has filters of his own.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of processes that load images
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


class _Spoken(logging.Handler):
    """What the package logs, in the words of its other warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm  # late: most commands have nothing to warn of

        try:
            kind = record.levelname.lower()
            tqdm.write(f"{kind}: {self.format(record)}", file=sys.stderr)
        except Exception:  # as every handler of logging
            self.handleError(record)


def speak_warnings() -> None:
    """Say what the package logs as "warning: ...", above a progress bar and not through it.

    For the program, not for the package: whoever imports that decides what becomes of its logs.
    """
    logging.getLogger("dmaskrcnn").addHandler(_Spoken(logging.WARNING))
