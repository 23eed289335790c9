"""A command in a process of its own that gets a signal in the middle: what a signal does to the
process of the tests is nobody's business."""

from __future__ import annotations

import subprocess
import sys

# Sends itself a signal where a function is called for the n-th time.
SCRIPT = """
import os, signal, sys, time
from importlib import import_module
from dmaskrcnn.cli.main import main

module, name, function, call, number = sys.argv[1:6]
holder = import_module(module)
holder = getattr(holder, name) if name else holder
original, calls, handler = getattr(holder, function), [], signal.getsignal(signal.SIGTERM)

def counted(*arguments, **options):
    calls.append(1)
    if len(calls) == int(call):
        os.kill(os.getpid(), int(number))
        time.sleep(0.5)  # in whatever thread this is, the main one hears of it
    return original(*arguments, **options)

setattr(holder, function, counted)
try:
    main(sys.argv[6:])
finally:
    assert signal.getsignal(signal.SIGTERM) == handler
"""


def signalled(
    where: tuple[str, str, str], call: int, number: int, *words: object
) -> subprocess.CompletedProcess[str]:
    """Run a command that gets the signal ``number`` at the ``call``-th call of a function: its
    module, its class (or nothing) and its name."""
    command = [sys.executable, "-c", SCRIPT, *where, str(call), str(int(number))]
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, errors="replace"
    )
