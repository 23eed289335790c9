"""What reaches the terminal from other libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WARNING = """
import multiprocessing, sys, warnings
from importlib import import_module

def warned(verb):
    warnings.warn("of a library", FutureWarning)
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=warnings.warn, args=("of a child",))
    child.start()
    child.join()

if __name__ == "__main__":
    room = import_module("dmaskrcnn.cli.main")
    room._VERBS[room.Demo] = warned
    sys.argv = ["dmaskrcnn", "demo"]
    room.main()
"""


@pytest.mark.parametrize("options", [[], ["-W", "always"]])
def test_warnings_of_libraries_are_shown_only_on_request(options: list[str], tmp_path: Path):
    script = tmp_path / "warns.py"
    script.write_text(WARNING)
    done = subprocess.run(
        [sys.executable, *options, str(script)], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert ("of a library" in done.stderr) == bool(options)
    assert ("of a child" in done.stderr) == bool(options)


LOGGING = """
import logging, sys
from importlib import import_module
room = import_module("dmaskrcnn.cli.main")

def logged(verb):
    logging.getLogger("dmaskrcnn.data.dataset").warning("%s: left out", "a.json\x1b[2J")
    logging.getLogger("dmaskrcnn").info("nobody asked")
    logging.getLogger("of.a.library").error("somebody else's")

room._VERBS[room.Demo] = logged
sys.argv = ["dmaskrcnn", "demo"]
room.main()
"""


def test_what_the_package_logs_is_a_warning_as_any_other(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[:-1] == ["warning: a.json\\x1b[2J: left out", "somebody else's"]
    assert done.stderr.splitlines()[-1].startswith("Next: ")
