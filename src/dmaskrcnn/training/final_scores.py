"""What a training says of its result in its last lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.distributed import gather, rank, world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import (
    evaluate_to,
    output_folders,
    save_in_shares,
    summary,
)
from dmaskrcnn.evaluation.labelled import open_shared_test_set
from dmaskrcnn.run import Run
from dmaskrcnn.training.worth import BETTER_START, LONGER, warn


def write_final_scores(folder: Path, config: TrainConfig, doubts: Sequence[str] = ()) -> None:
    """Score a finished run on ``config.test``, if there is one: predictions and scores go to
    ``evaluate-<data>`` in the run folder, a table to standard output. Then say, on standard error,
    why the result may be worth nothing. Each process of torchrun calls this, and predicts its
    share; the first one scores and speaks.

    Only now, so that the test images take no part in the training and choose nothing.

    Raises:
        UserError: the test images cannot be read any more.
    """
    try:
        found = _score(folder, config) if config.test else True
    except UserError as error:
        raise UserError(
            f"{error}. The training itself is finished and saved: {folder}; score it with "
            "`dmaskrcnn evaluate`"
        ) from error
    finally:
        warn(doubts)
    if not found:
        warn([f"no object of the test images was found: {LONGER}, or {BETTER_START}"])


def _score(folder: Path, config: TrainConfig) -> bool:
    """Whether anything was found."""
    # wait for the first process to save: what lies there before is of an earlier checkpoint, if any
    gather([None])
    run = Run(folder)
    (out,) = output_folders([run], config.test, None)
    test = open_shared_test_set([run], config.test, (), config.groups, config.orientation)
    if world_size() > 1 and out:
        save_in_shares(out / "predictions.json", run.detector(config.device), test)
    if rank():
        return True
    scores = evaluate_to(out, run, test, device=config.device, predicted=world_size() > 1)
    print(summary(run, scores, out), flush=True)
    return scores["voc/AP50"].value != 0  # NaN: there was nothing to find
