"""What a training says of its result, where it was given labelled images for that."""

from __future__ import annotations

from pathlib import Path

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.evaluation.evaluate import evaluate_to
from dmaskrcnn.evaluation.test_set import classes_to_score
from dmaskrcnn.run import output_folders, which_weights


def write_final_scores(folder: Path, config: TrainConfig) -> None:
    """Score a finished run on ``config.test``, if there is one: predictions and scores go to
    ``evaluate-<data>`` in the run folder, a table to standard output.

    Only now, so that the test images take no part in the training and choose nothing.
    """
    if not config.test:
        return
    (out,) = output_folders([folder], config.test, None)
    classes = classes_to_score([folder], config.test, ())
    scores = evaluate_to(out, folder, config.test, classes=classes, device=config.device)
    which = which_weights(folder)
    print(f"{folder}{which and f' ({which})'}\n{scores.table()}\n")
    print(f"predictions and scores: {out}\n", flush=True)
