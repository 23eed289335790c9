"""Whether the result of a training will be, or is, worth anything: said before it begins, once the
first iterations show how fast it is, and in its last lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dmaskrcnn.config.schedule import Schedule
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.detector.weights import read_description
from dmaskrcnn.methods.parts.guard import FEW_LABELS
from dmaskrcnn.training.curves import SHOWN
from dmaskrcnn.training.state import TrainingState

MEASURED = 4  # iterations that show the pace, after the first, which also starts processes
NAMED = 5  # broken pictures that the last lines name
LONGER = "give it more --iterations (or --minutes)"
BETTER_START = "start from a trained detector (--weights RUN, or coco with --backbone resnet50)"


def warn(doubts: Iterable[str]) -> None:
    """Say them on standard error, without breaking a progress bar."""
    for doubt in doubts:
        tqdm.write(f"warning: {doubt}", file=sys.stderr)


def doubts_before(config: TrainConfig) -> list[str]:
    """What will keep this training from a result, as far as its configuration tells."""
    doubts = []
    if config.phases[0].trains == "classifier" and config.trains and not config.starts_trained:
        doubts.append(
            f"--method {config.method} first trains the domain classifier alone, here on the "
            f"features of a pyramid that has learnt nothing (--weights {config.weights}); the "
            "original began from a detector trained on COCO. Give --weights the run of a training "
            "with --method source, or coco with --backbone resnet50"
        )
    if os.path.isdir(config.weights):
        doubts += _other_size(config)
    if config.iterations:
        doubts += _too_few(config, config.iterations, f"--iterations {config.iterations}")
    return doubts


def _other_size(config: TrainConfig) -> list[str]:
    """Whether a run whose weights this training begins with reads pictures at another size: the
    weights do not tell, and the size comes from the preset."""
    there = read_description(Path(config.weights))[1].image_size
    here = config.read_size or config.detector.image_size
    if there == here:
        return []
    return [
        f"--weights {config.weights} reads pictures at {there} px, what comes of it will at "
        f"{here}: --image-size {there} trains at its size, --read-size {there} reads at it"
    ]


class Pace:
    """Of a training in minutes: how many iterations its time is enough for."""

    def __init__(self, config: TrainConfig, iteration: int, seconds: float) -> None:
        """``iteration``, ``seconds``: done when it was begun or resumed."""
        self.config, self.first, self.since = config, iteration + 1, seconds

    def doubts(self, iteration: int, seconds: float) -> list[str]:
        """After each iteration; says something at most once, when the pace is known."""
        if not self.config.minutes:
            return []
        if iteration == self.first:
            self.since = seconds
        if iteration != self.first + MEASURED:
            return []
        each = (seconds - self.since) / MEASURED
        left = max(0.0, 60 * self.config.minutes - seconds)
        fit = iteration + int(left / max(each, 1e-9))
        said = f"--minutes {self.config.minutes:g} is time for about {fit} iterations here"
        return _too_few(self.config, fit, f"{said} ({each:.1f} s each)")


def doubts_after(state: TrainingState, rows: Sequence[Mapping[str, Any]], best: float) -> list[str]:
    """What is wrong with the result of a finished training.

    Args:
        state: at its end.
        rows: of ``metrics.csv``.
        best: the highest score in the pictures that are drawn at the end.
    """
    config, doubts = state.config, []
    if config.trains and state.iteration:
        doubts += _never_learnt(state)
    labels = [float(row["pseudo_labels"]) for row in rows if row.get("pseudo_labels")]
    if labels and sum(labels) / len(labels) < FEW_LABELS:
        doubts.append(
            f"the teacher found {sum(labels) / len(labels):.2f} objects per target image, so the "
            f"hazy images taught next to nothing: {BETTER_START}, or train longer before it "
            "teaches (--burn-in, --iterations)"
        )
    if best < SHOWN:
        doubts.append(
            f"nothing in the images of pictures.jpg reaches a score of {SHOWN}; "
            + (f"the best is {best:.2f}" if best else "nothing at all was found")
            + f": {LONGER}, or {BETTER_START}"
        )
    reasons = [why for of_domain in state.data["broken"].values() for why in of_domain.values()]
    if reasons:
        more = f" (and {len(reasons) - NAMED} more)" if len(reasons) > NAMED else ""
        doubts.append(
            f"{len(reasons)} pictures could not be decoded, and others stood in for them: "
            f"{'; '.join(reasons[:NAMED])}{more}"
        )
    return doubts


def _never_learnt(state: TrainingState) -> list[str]:
    config, steps = state.config, state.detector_steps
    if not steps:
        return [f"the detector itself was never trained: {LONGER}"]
    doubts = []
    slow = state.schedule.minutes and config.starts_trained  # its warm-up was a share of the time
    if steps < config.warmup and not slow:
        doubts.append(
            f"the detector was trained for {steps} steps, fewer than the {config.warmup} of its "
            f"warm-up, and is hardly worth anything: {LONGER}, or a lower --warmup"
        )
    if config.adapts and state.phase and not state.phase.target:
        doubts.append(
            f"training ended in the phase {state.phase.name!r}, before it looked at the target "
            f"images: {LONGER}"
        )
    return doubts


def _too_few(config: TrainConfig, iterations: int, said: str) -> list[str]:
    """Whether so many iterations are enough for the phases."""
    steps = Schedule(config.phases, iterations, 0.0, config.warmup).steps(iterations)
    training = [phase for phase in config.phases if phase.trains == "all"]
    detector = sum(steps[phase.name] for phase in training)
    adapting = sum(steps[phase.name] for phase in training if phase.target)
    if config.adapts and not adapting:
        return [f"{said}: the phases before leave no step for the target images; {LONGER}"]
    if detector < config.warmup and not (config.minutes and config.starts_trained):
        return [
            f"{said}: the detector gets {detector} steps, fewer than the {config.warmup} of its "
            f"warm-up (--warmup), and will hardly learn; {LONGER}, or a smaller --image-size"
        ]
    alone = detector - adapting
    taught = config.method == "teacher" and not config.settings.keeps_target_labels
    short = alone < config.warmup and (taught or alone > 0)
    if config.adapts and short and not config.starts_trained:
        return [
            f"{said}: the burn-in is {alone} steps, fewer than the {config.warmup} of the warm-up, "
            f"so that the teacher will know nothing; {LONGER}, or {BETTER_START}"
        ]
    return []
