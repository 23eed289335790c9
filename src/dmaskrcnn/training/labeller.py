"""`--labeller`: a better detector labels the target images before the student is trained.

It never sees the target's labels: it is a run that is there already, or is trained here first, on
the source alone. What it finds is kept in the student's run folder as COCO results
(`target_labels`).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from dmaskrcnn.config.labelling import FOLDER, SELF, TRAINED
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Dataset
from dmaskrcnn.distributed import gather, rank
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import Run, open_run
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.state import TrainingState
from dmaskrcnn.training.target_labels import KEPT, evenly, label_target, most_pictures, trusted
from dmaskrcnn.training.worth import doubts_before, warn

# trains to the end, in the first folder, which lies in the second; what is wrong with the result
Fit = Callable[[TrainingState, Path, Path], list[str]]


def check_labeller(config: TrainConfig) -> None:
    """Raises UserError where ``--labeller`` names no run with a detector."""
    asks = config.settings.asks
    if asks and asks.run not in TRAINED:
        if (run := open_run(asks.run)).is_results:
            raise UserError(f"--labeller {run}: has labels already; give it as --pseudo-labels")
        run.check_trained()


def waits_for_labels(folder: Path) -> TrainConfig | None:
    """The configuration of a run that was interrupted before its own training began."""
    if (folder / "last.pt").exists() or not (values := Run(folder).config):
        return None
    config = TrainConfig.from_dict(values)
    return config if config.settings.asks else None


def has_begun(folder: Path) -> bool:
    """Whether a run has work to go on with: a checkpoint, or, while it waits for labels, one of its
    labeller's training, the end of that, or labels."""
    if (folder / "last.pt").is_file():
        return True
    labeller = Run(folder / f"{FOLDER}-1")
    work = (labeller.path / "last.pt").is_file() or labeller.finished or (folder / KEPT).is_dir()
    return work and waits_for_labels(folder) is not None


def restored(
    config: TrainConfig, folder: Path, checkpoint: Checkpoint, device: torch.device
) -> TrainingState:
    """The state of a run where it stopped. Raises UserError as `TrainingState.restore`."""
    # What the run found broken may be gone; whatever else is left out shows as a change.
    source, target = open_data(replace(config, drop_invalid=True), folder)
    # the checkpoint has the weights; those that the run began from may be gone
    state = TrainingState(config, source, target, device, weights="scratch")
    state.restore(checkpoint, folder)
    return state


def labelled(
    config: TrainConfig,
    folder: Path,
    source: Dataset,
    target: Dataset | None,
    device: torch.device,
    fit: Fit,
) -> TrainingState:
    """The beginning of a training once a labeller has left the labels of the target in its folder:
    training the labeller and labelling, as far as they are not done. Under torchrun every process
    calls this.

    Args:
        config: of the training; it has a labeller.
        folder: of its run.
        source, target: its data, the target without labels.
        device: for the labeller, too.
        fit: how to train.

    Raises:
        UserError: as a training.
        SystemExit: 130 or 143 after Ctrl-C or SIGTERM.
    """
    asks = config.settings.asks
    assert asks is not None
    assert target is not None
    if asks.run in TRAINED:
        own = asks.training(config, folder, device.type == "cuda")
        run = Run(folder / f"{FOLDER}-1", asks.size(own))
        _train(run, own, source, target if asks.run == SELF else None, device, fit)
    else:
        run = open_run(asks.run)
    student, some = asks.student(config, folder), target
    if asks.run == SELF:
        # the first process's answer: others may be here before it has written its last row
        most = gather([most_pictures(student, run) if rank() == 0 else 0])[0]
        brought = getattr(config.settings, "pseudo_labels", "")
        some = evenly(target, most, Path(brought) if brought else None)
        if len(some) < len(target) and rank() == 0:
            said = f"labeller: {len(some)} of {len(target)} target pictures, evenly spread"
            print(f"{said}: as many as the second round has time for", file=sys.stderr)
    if asked := label_target(run, folder, source, some, device):
        stop(folder, "labelling", asked)
    if asks.run == SELF and not trusted(run, folder, source, some, asks.threshold, device):
        student, some = asks.student(config, folder, trusted=False), target
    # of the folder that it was just written to
    labels = student.settings.label_target(some, source, folder)
    return TrainingState(student, source, labels, device)


def stop(folder: Path, at: str, asked: int) -> NoReturn:
    """End a training on a signal once its state is saved, with the words that continue it. Raises
    SystemExit."""
    if rank() == 0:
        print(
            f"stopped at {at}; saved. Continue with: dmaskrcnn train --resume "
            f"{shlex.quote(str(folder))}",
            file=sys.stderr,
        )
    raise SystemExit(128 + asked)


def _train(
    run: Run,
    config: TrainConfig,
    source: Dataset,
    target: Dataset | None,
    device: torch.device,
    fit: Fit,
) -> None:
    """Train the labeller, as far as it is not trained; ``config`` is its own, ``run`` its place in
    the student's folder."""
    name = "first round" if target is not None else "labeller"
    if rank() == 0:
        if run.finished:
            print(f"{name}: trained already, {run}", file=sys.stderr)
        elif not run.path.is_dir():
            Run.create(config)
            warn(f"{name}: {doubt}" for doubt in doubts_before(config))
    gather([None])  # all wait for the folder
    if run.finished:
        return
    if (run.path / "last.pt").is_file():
        state = restored(config, run.path, Checkpoint.load(run.path), device)
    else:
        state = TrainingState(config, source, target, device)
    doubts = fit(state, run.path, run.path.parent)
    warn(f"{name}: {doubt}" for doubt in doubts)
