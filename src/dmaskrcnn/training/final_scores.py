"""What a training says of its result, where it was given labelled images for that."""

from __future__ import annotations

from pathlib import Path

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.evaluation.evaluate import evaluate_to, summary
from dmaskrcnn.evaluation.labelled import open_shared_test_set
from dmaskrcnn.run import Run, output_folders


def write_final_scores(folder: Path, config: TrainConfig) -> None:
    """Score a finished run on ``config.test``, if there is one: predictions and scores go to
    ``evaluate-<data>`` in the run folder, a table to standard output.

    Only now, so that the test images take no part in the training and choose nothing.
    """
    if not config.test:
        return
    run = Run(folder)
    (out,) = output_folders([run], config.test, None)
    test = open_shared_test_set([run], config.test, groups=config.groups)
    scores = evaluate_to(out, run, test, device=config.device)
    print(summary(run, scores, out), flush=True)
