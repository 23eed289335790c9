"""The command line as a person meets it: help, wrong words, and where output goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import get_args

import pytest

from dmaskrcnn import __version__
from dmaskrcnn.cli.main import main
from dmaskrcnn.cli.verbs import Verbs

# --- without PyTorch ------------------------------------------------------------------------------


VERBS = [word.__metadata__[0].name for word in get_args(Verbs)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([verb, "--help"] for verb in VERBS),
        ["train", "--preset", "cpu", "--method", "teacher", "--help"],
        ["train", "--optimizer", "sgdd"],
    ],
    ids=" ".join,
)
def test_answers_without_pytorch(arguments: list[str]):
    code = f"""
import sys
from dmaskrcnn.cli import main
try:
    main({arguments})
except SystemExit:
    pass
sys.exit(sum(name in sys.modules for name in ("torch", "numpy", "PIL", "matplotlib")))
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10  # half a second on a machine that has nothing else to do


def test_python_m_and_version():
    done = subprocess.run(
        [sys.executable, "-m", "dmaskrcnn", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dmaskrcnn {__version__}\n", "")


def test_drawn_boxes_are_folded_too():
    command = [sys.executable, "-m", "dmaskrcnn", "trian"]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    verbs = "demo, adapt, train, evaluate, compare, reproduce, report, predict, inspect"
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"dmaskrcnn: Unrecognized options: trian (Available subcommands: {verbs}"
    )
    assert done.stderr.endswith("; see dmaskrcnn --help\n")
    assert done.stderr.count("\n") == 1


def test_help_says_where_defaults_come_from(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "None" not in text
    assert "(default: )" not in text
    assert "(default: as many as source images)" in " ".join(text.replace("│", "").split())
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert [
        verb
        for verb in ("demo", "train", "evaluate", "predict", "inspect")
        if f"• {verb}" not in text
    ] == []


USAGE: dict[str, tuple[list[str], str]] = {
    "verb": (["trian"], "Unrecognized options: trian (Available subcommands: demo, adapt, train"),
    "option": (
        ["train", "--itertions", "5"],
        "unknown option --itertions; did you mean --iterations?",
    ),
    "option beside a missing one": (
        ["evaluate", "run", "--dta", "x"],
        "unknown option --dta; did you mean --data?",
    ),
    "option like no other": (
        ["train", "--xyzzy"],
        "unknown option --xyzzy; see dmaskrcnn train --help",
    ),
    "choice": (
        ["train", "--optimizer", "sgdd"],
        "invalid choice 'sgdd' for argument '--optimizer'",
    ),
    "number": (["train", "--batch", "many"], "Error parsing --batch: "),
    "no value": (["train", "--device"], "Missing value for argument '--device'"),
    "required": (["evaluate", "run"], "Missing from dmaskrcnn evaluate: --data"),
    "no run": (["evaluate", "--data", "x"], "evaluate: give at least one run folder"),
    "no path": (["inspect"], "inspect: give at least one path"),
    "resume with more": (
        ["train", "--resume", "x", "--minutes", "3"],
        "--resume continues a run with the options it began with: leave --minutes out",
    ),
    "config without file": (["train", "--config"], "Missing value for argument '--config'"),
    "no target": (["train", "--source", "x"], "--method teacher needs --target"),
    "both lengths": (
        ["train", "--target", "x", "--minutes", "1", "--iterations", "2"],
        "--minutes and --iterations",
    ),
    "accumulate": (
        ["train", "--target", "x", "--batch", "4", "--accumulate", "3"],
        "multiple of --accumulate 3",
    ),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors(case: str, fails: Callable[..., str]):
    arguments, message = USAGE[case]
    assert message in fails(*arguments)


# --- where output goes ----------------------------------------------------------------------------


def test_reader_that_has_gone(clear: Path, capfd: pytest.CaptureFixture[str]):
    """As in ``dmaskrcnn inspect … | head -1``."""
    for arguments in (["--version"], ["inspect", str(clear)], ["train", "--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        with (
            os.fdopen(writing, "w") as pipe,
            redirect_stdout(pipe),
            pytest.raises(SystemExit) as stop,
        ):
            main(arguments)
        assert stop.value.code == 141
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_on_a_full_disk(fails: Callable[..., str]):
    with open("/dev/full", "w") as full, redirect_stdout(full):
        assert fails("--version") == "output: No space left on device"


def test_keyboard_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clear: Path
):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dmaskrcnn.data.inspection.inspect", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["inspect", str(clear)])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "dmaskrcnn: interrupted\n"


MIXED = """
import sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "code",
    [
        "from dmaskrcnn.cli import main; main(['predict', 'run', 'x', '--out', 'out'])",
        "import dmaskrcnn\ntry:\n dmaskrcnn.Detector\n"
        "except dmaskrcnn.UserError as error:\n sys.exit(f'dmaskrcnn: {error}')",
    ],
    ids=["command line", "Python"],
)
def test_torchvision_of_another_build(code: str):
    """As `pip install torch` for CUDA beside a torchvision for the CPU has it."""
    done = subprocess.run([sys.executable, "-c", MIXED + code], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("dmaskrcnn: torch and torchvision are of different builds")
    assert done.stderr.count("\n") == 1
    assert "pip install --force-reinstall torch torchvision" in done.stderr


def test_completion_is_printed_and_told_of(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["--tyro-print-completion", "bash"])
    assert not stop.value.code
    assert "complete" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "--tyro-print-completion" in text
    assert "--version" in text
