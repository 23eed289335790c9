"""A training that torchrun starts again, because one of its processes died, goes on where it was.

torchrun runs the same command again: `train` would begin a second run. So the first process leaves
a mark of the torchrun in its run folder, by which all processes of the next attempt find it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import read_bytes, write_text
from dmaskrcnn.run import Run

MARK = "torchrun.txt"


def _torchrun() -> str:
    """What tells this torchrun from others, equal in all of its processes and attempts; empty
    without one."""
    number = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if number != "none":
        return number
    return ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))


def mark(folder: Path) -> None:
    """Let later attempts of this torchrun, if there is one, find the run folder."""
    if torchrun := _torchrun():
        write_text(folder / MARK, torchrun + "\n")


def begun_before(config: TrainConfig) -> Path | None:
    """The run folder of an earlier attempt of this torchrun, or of this job that Slurm put into its
    queue again, from which the training can go on; None on the first attempt, and where the earlier
    ones did not come to their first checkpoint."""
    again = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    own = _torchrun()
    if not own or all(os.environ.get(count, "0") == "0" for count in again):
        return None
    wanted = config.absolute().to_dict()
    # the latest: without --rdzv-id, addresses come again
    marks = config.out.glob(f"{config.name or config.method}-*/{MARK}")
    for file in sorted(marks, key=lambda file: file.stat().st_mtime, reverse=True):
        with suppress(OSError, ValueError, UserError):
            run = Run(file.parent)
            marked = read_bytes(file).decode() == own + "\n" and (run.path / "last.pt").is_file()
            if marked and _kept(run.config, wanted) == _kept(wanted, wanted):
                return run.path
    return None


def _kept(config: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """What a run remembers as it was given; of videos, its target is their frames, and a batch that
    was to be measured is a number."""
    other = {"target", "batch"} if given["batch"] == "auto" else {"target"}
    return {name: value for name, value in config.items() if name not in other}
