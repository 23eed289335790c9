"""What the verbs that need no network take from start to end, their work included.

    python benchmarks/startup.py                                  # two minutes
    python benchmarks/startup.py --only inspect evaluate --rounds 1 --images 2

Labels and results of synthetic pictures, see `benchmarks/masks.py`. Each verb is a process of its
own; processor seconds. Python's compiled files are made beforehand, in a folder of their own, as an
installation makes them.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from masks_data import write_data

_DATA = ["--data", "truth.json"]
VERBS = {
    "help": ["--help"],
    "dehaze-help": ["dehaze", "--help"],
    "predict-help": ["predict", "--help"],
    "train-help": ["train", "--help"],
    "inspect": ["inspect", "truth.json"],
    "convert": ["convert", "truth.json", "--to", "yolo", "--out", "out"],
    "evaluate": ["evaluate", "found.json", *_DATA],
    "compare": ["compare", "--runs", "found.json", "other.json", *_DATA, "--out", "out"],
}


def main() -> None:
    """Run the verbs in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=VERBS, default=list(VERBS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=77)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder, arguments.images)
        shutil.copy(folder / "found.json", folder / "other.json")
        times: dict[str, list[float]] = {name: [] for name in arguments.only}
        for _ in range(arguments.rounds + 1):  # the first one compiles
            for name, seconds in times.items():
                seconds.append(ran(VERBS[name], folder))
    print(f"| {arguments.images} pictures | processor seconds |\n|---|---:|")
    for name, (_, *seconds) in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        command = " ".join(["dmaskrcnn", *VERBS[name]])
        print(f"| `{command}` | {statistics.median(seconds):.2f} ({spread}) |")


def ran(words: list[str], folder: Path) -> float:
    """The processor seconds of one verb."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "dmaskrcnn", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
