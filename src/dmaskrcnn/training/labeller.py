"""`--labeller`: a better detector labels the target images before the student is trained.

It never sees the target's labels: it is a run that is there already, or is trained here first, on
the source alone. What it finds is kept in the student's run folder as COCO results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from dmaskrcnn.config.labelling import FOLDER, LABELS, TRAIN
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Dataset
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.fusion import look
from dmaskrcnn.distributed import gather, rank
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import save_results
from dmaskrcnn.methods.parts.distillation import CANDIDATE
from dmaskrcnn.run import Run, open_run
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.state import TrainingState

LARGER = 1.5  # the second size at which the labeller reads, as a factor on its own

# trains to the end, in the first folder, which lies in the second
Fit = Callable[[TrainingState, Path, Path], object]


def check_labeller(config: TrainConfig) -> None:
    """Raises UserError where ``--labeller`` names no run with a detector."""
    asks = config.settings.asks
    if asks and asks.run != TRAIN:
        if (run := open_run(asks.run)).is_results:
            raise UserError(f"--labeller {run}: has labels already; give it as --pseudo-labels")
        run.check_trained()


def waits_for_labels(folder: Path) -> TrainConfig | None:
    """The configuration of a run that was interrupted before its own training began."""
    if (folder / "last.pt").exists() or not (values := Run(folder).config):
        return None
    config = TrainConfig.from_dict(values)
    return config if config.settings.asks else None


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


def labelled(config: TrainConfig, folder: Path, device: torch.device, fit: Fit) -> TrainingState:
    """The beginning of a training once a labeller has left the labels of the target in its folder:
    training the labeller and labelling, as far as they are not done. Under torchrun every process
    calls this.

    Args:
        config: of the training; it has a labeller.
        folder: of its run.
        device: for the labeller, too.
        fit: how to train.

    Raises:
        UserError: as a training.
    """
    source, target = open_data(config)
    asks = config.settings.asks
    assert asks is not None
    assert target is not None
    run = open_run(asks.run)
    if asks.run == TRAIN:
        own, run = asks.training(config, folder, device.type == "cuda"), Run(folder / f"{FOLDER}-1")
        if rank() == 0:
            _announce(config, own, len(target))
            if not run.path.is_dir():
                Run.create(own)
        gather([None])  # all wait for the folder
        if not run.finished:
            if (run.path / "last.pt").is_file():
                state = restored(own, run.path, Checkpoint.load(run.path), device)
            else:
                state = TrainingState(own, *open_data(own), device)
            fit(state, run.path, folder)
    if rank() == 0 and not (folder / LABELS).is_file():
        _write(run, folder, source, target, device)
    gather([None])  # and for the labels
    return TrainingState(config, *open_data(config, folder), device)


def _announce(config: TrainConfig, own: TrainConfig, targets: int) -> None:
    def length(c: TrainConfig) -> str:
        return f"{c.minutes:g} minutes" if c.minutes else f"{c.iterations} iterations"

    print(
        f"labeller: first {length(own)} of {own.detector.backbone} at {own.detector.image_size} "
        f"px on the source alone, which then labels {targets} target images at two sizes, each "
        f"also mirrored; then {length(config)} of the detector that is wanted",
        file=sys.stderr,
    )


def _write(run: Run, folder: Path, source: Dataset, target: Dataset, device: torch.device) -> None:
    detector = Detector.load(run.path, device, image_size=run.image_size)
    sizes = (detector.config.image_size, round(LARGER * detector.config.image_size))
    predictors = [detector, Detector.load(run.path, device, image_size=sizes[1])]

    def found() -> Iterator[Detections]:
        said = f"labelling at {' and '.join(map(str, sizes))} px"
        for index in tqdm(range(len(target)), said, file=sys.stderr, leave=False):
            yield look(predictors, target.picture(index), CANDIDATE)

    ids = dict(zip(source.classes, source.category_ids, strict=True))
    save_results(folder / LABELS, target.image_ids, found(), ids)
    print(f"labeller: its labels are in {folder / LABELS}", file=sys.stderr)
