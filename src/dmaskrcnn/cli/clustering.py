"""What `predict`, `dehaze` and `haze` hand their flags to with ``--cluster``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmaskrcnn.cli.flags import refuse
from dmaskrcnn.cli.picture_verbs import FOR_VIDEOS
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dmaskrcnn.cli.cluster_flags import OnCluster
    from dmaskrcnn.cli.picture_verbs import Predict
    from dmaskrcnn.cli.verbs import Dehaze, Haze
    from dmaskrcnn.cluster.tasks import Task
    from dmaskrcnn.images.haze import HazeConditions


def predict_on_cluster(verb: Predict) -> None:
    """Find objects in many pictures."""
    refuse(verb, "with --cluster, which is for pictures: leave one out", *FOR_VIDEOS)
    if not 0 <= verb.threshold <= 1:
        raise UserError(f"--threshold must be from 0 to 1, got {verb.threshold}")
    if verb.batch_size < 1:
        raise UserError(f"--batch-size must be at least 1, got {verb.batch_size}")
    from dmaskrcnn.cluster.tasks import Detect

    runs = (verb.run, verb.clear) if verb.clear else (verb.run,)
    task = Detect(
        tuple(map(str, runs)),
        verb.threshold,
        verb.batch_size,
        verb.tiles,
        verb.haze_thresholds,
        verb.pictures,
    )
    _run(verb, task, verb.images, verb.out, verb.device)


def dehaze_on_cluster(verb: Dehaze) -> None:
    """Dehaze many pictures."""
    from dmaskrcnn.cluster.tasks import Dehaze as Task

    task = Task(verb.method, verb.weights, verb.ignore_rows, verb.maps)
    _run(verb, task, verb.images, verb.out, verb.device)


def haze_on_cluster(verb: Haze, conditions: HazeConditions) -> None:
    """Put many pictures behind haze."""
    why = "with --cluster, which reads pictures and no labels: leave it out"
    refuse(verb, why, "drop_invalid", "images")
    from dmaskrcnn.cluster.tasks import PutBehindHaze

    _run(verb, PutBehindHaze(conditions), verb.inputs, verb.out, "cpu")


def _run(verb: OnCluster, task: Task, inputs: Sequence[str | Path], out: Path, device: str) -> None:
    from dmaskrcnn.cluster.job import Cluster, run_job

    cluster = Cluster(verb.cluster, verb.actors, device)
    print(run_job(task, inputs, out, cluster, verb.column))
