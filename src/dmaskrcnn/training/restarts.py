"""A training that is started again, by torchrun because one of its processes died or by a person
because its labeller took hours, goes on where it was.

torchrun runs the same command again: `train` would begin a second run. So the first process leaves
a mark of the torchrun in its run folder, by which all processes of the next attempt find it.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dmaskrcnn.config.labelling import TRAINED
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import read_bytes, write_text
from dmaskrcnn.run import Run
from dmaskrcnn.training.labeller import has_begun

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
    ones did not come to their first checkpoint, be it their labeller's."""
    again = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    own = _torchrun()
    if not own or all(os.environ.get(count, "0") == "0" for count in again):
        return None
    wanted = config.absolute().to_dict()
    # the latest: without --rdzv-id, addresses come again
    for file in _latest(config, f"/{MARK}"):
        with suppress(OSError, ValueError, UserError):
            run = Run(file.parent)
            if read_bytes(file).decode() != own + "\n":
                continue
            # of videos: their frames
            if not _alike(run.config, wanted, but={"target", "target_every"}):
                continue
            if has_begun(run.path):
                return run.path
    return None


def stopped_before(config: TrainConfig) -> Path | None:
    """The latest run with these options that was stopped before its end, where a labeller was
    trained for it: hours of work that nobody wants to do again.

    Args:
        config: with absolute paths.
    """
    asks = config.settings.asks
    if not asks or asks.run not in TRAINED or "RANK" in os.environ:  # torchrun: see `begun_before`
        return None
    wanted = config.to_dict()
    for folder in _latest(config):
        with suppress(OSError, UserError):
            run = Run(folder)
            if run.finished or not _alike(run.config, wanted):
                continue
            with run.training():  # nobody else does
                print(f"{run} was stopped; going on with it", file=sys.stderr)
                return folder
    return None


@contextmanager
def or_anew(folder: Path) -> Iterator[None]:
    """Going on with a run that was found: who is told that it cannot, is told how to begin anew.
    Raises UserError."""
    try:
        yield
    except UserError as error:
        anew = f"to begin anew with the same options, remove {folder} or give another --name"
        raise UserError(f"{error}; {anew}") from error


def _latest(config: TrainConfig, file: str = "") -> list[Path]:
    """The run folders of this name, or a file in each, the latest first."""

    def changed(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:  # a link to nothing
            return 0.0

    name = glob.escape(config.name or config.method)
    return sorted(config.out.glob(f"{name}-*{file}"), key=changed, reverse=True)


def _alike(config: dict[str, object], wanted: dict[str, object], but: Collection[str] = ()) -> bool:
    """Whether a run was given these options; of a batch that was to be measured it remembers a
    number."""
    but = {*but, "batch"} if wanted["batch"] == "auto" else but
    kept = [{k: v for k, v in one.items() if k not in but} for one in (config, wanted)]
    return kept[0] == kept[1]
