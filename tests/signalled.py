"""Commands in processes of their own that get a signal in the middle: what a signal does to the
process of the tests is nobody's business.

They are forked from a process that has imported all that a training needs, once for all tests,
which takes longer than most of these commands.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

FORKING = get_context("forkserver")
FORKING.set_forkserver_preload(["dmaskrcnn.training.loop", "torch._dynamo"])
Where = tuple[str, str, str]  # a module, a class of it (or nothing) and a function


class Started:
    """A command that runs, in a session of its own.

    Attributes:
        process: of it.
        log: the file with what it has said on standard error so far.
    """

    def __init__(self, *words: object, at: tuple[Where, int, int] | None = None) -> None:
        """``at``: the process sends itself a signal at a call of a function: which, the how manieth
        call, the signal's number."""
        self.folder = Path(tempfile.mkdtemp())
        self.out, self.log = self.folder / "out", self.folder / "log"
        self.process = FORKING.Process(
            target=_run, args=([str(w) for w in words], at, self.out, self.log)
        )
        self.process.start()

    def wait_for(self, sign: Path, text: str = "", seconds: float = 120) -> None:
        """Until a file is there, and says this; or the command has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.is_alive():
            if sign.exists() and (not text or text in sign.read_text(errors="replace")):
                return
            time.sleep(0.02)

    def ended(self, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """How it ended, and what it said; once."""
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, "it still runs"
        said = [p.read_text(errors="replace") if p.exists() else "" for p in (self.out, self.log)]
        shutil.rmtree(self.folder)
        return subprocess.CompletedProcess([], code, *said)


def signalled(
    where: Where, call: int, number: int, *words: object
) -> subprocess.CompletedProcess[str]:
    """Run a command that gets the signal ``number`` at the ``call``-th call of a function."""
    return Started(*words, at=(where, call, number)).ended()


def _run(words: list[str], at: tuple[Where, int, int] | None, out: Path, log: Path) -> None:
    from dmaskrcnn.cli.main import main

    os.setsid()
    for stream, file in ((sys.stdout, out), (sys.stderr, log)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    handler = signal.getsignal(signal.SIGTERM)
    if at is not None:
        _signal_at(*at)
    try:
        main(words)
    finally:
        assert signal.getsignal(signal.SIGTERM) == handler
        sys.stdout.flush()


def _signal_at(where: Where, call: int, number: int) -> None:
    module, name, function = where
    holder = import_module(module)
    holder = getattr(holder, name) if name else holder
    original, calls = getattr(holder, function), []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
            time.sleep(0.5)  # in whatever thread this is, the main one hears of it
        return original(*arguments, **options)

    setattr(holder, function, counted)
