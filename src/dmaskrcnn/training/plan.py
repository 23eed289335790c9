"""What a training is about to do and how long it will take here, said before it begins."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from dmaskrcnn.config.labelling import NOBODY, SELF, TRAINED, Labeller
from dmaskrcnn.config.schedule import Phase, Schedule
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Dataset
from dmaskrcnn.data.transport import pack, unpack
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.fusion import look
from dmaskrcnn.distributed import world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.label_settings import LabelSettings
from dmaskrcnn.run import open_run
from dmaskrcnn.training.inputs import loading_processes, make_batches
from dmaskrcnn.training.learner import build
from dmaskrcnn.training.target_labels import evenly, most_pictures, sizes_of

# Iterations from which a training is worth being timed for; fewer are over within minutes, and
# their bar tells as much.
LONG = 100


class Part(NamedTuple):
    """One thing that will be done.

    Attributes:
        name: of it, in a word.
        what: it does, and how often.
        seconds: that it takes; None where nobody knows.
    """

    name: str
    what: str
    seconds: float | None


def announce(
    config: TrainConfig, folder: Path, source: Dataset, target: Dataset | None, device: torch.device
) -> None:
    """Say on standard error what a new training will do, part by part, and about how long each
    takes, from one step of each kind. Under torchrun the first process calls this, and times no
    step: that takes all of them.

    Args:
        config: of the training.
        folder: of its run.
        source, target: its data.
        device: that it will use.
    """
    if not config.trains:
        return
    with torch.random.fork_rng(devices=[]):  # what is built to be timed changes no training
        before: list[Part] = []
        again, asks = "", config.settings.asks
        if asks and target is not None:
            before, config = _labels(config, asks, folder, source, target, device)
            again = " again" if asks.run == SELF else ""
        own = _phases(config, source, target, device)
    parts = [*before, *(part._replace(name=part.name + again) for part in own)]
    known = [part.seconds for part in parts if part.seconds]
    total = f" about {_words(sum(known))} on this machine" if len(known) == len(parts) else ""
    wide, wider = (
        max(map(len, words)) for words in zip(*(part[:2] for part in parts), strict=True)
    )
    print(f"plan:{total}", file=sys.stderr)
    for name, what, seconds in parts:
        said = _words(seconds) if seconds else ""
        line = f"  {name:<{wide}}  {what:<{wider}}  {said:>7}"
        print(line.rstrip(), file=sys.stderr)
    if total and before and 2 * (before[-1].seconds or 0.0) > sum(known):
        print(
            "warning: labelling takes longer than all training: give fewer images as --target, "
            "or --labeller none",
            file=sys.stderr,
        )


def _labels(
    config: TrainConfig,
    asks: Labeller,
    folder: Path,
    source: Dataset,
    target: Dataset,
    device: torch.device,
) -> tuple[list[Part], TrainConfig]:
    """How the target comes by its labels, labelling last; and the training that follows."""
    own, parts = None, []
    if asks.run in TRAINED:
        own = asks.training(config, folder, device.type == "cuda")
        if asks.run == SELF:
            parts += _phases(own, source, target, device)
        else:
            parts.append(_labeller(own, source, device))
    size, config = asks.size(own) if own else 0, asks.student(config, folder)
    if isinstance(config.settings, LabelSettings):  # it is timed without: none are there yet
        nobody = replace(config.settings, labeller=NOBODY, labeller_weights="")
        config = replace(config, settings=nobody)
    some, about = target, ""
    if asks.run == SELF:
        some = evenly(target, most_pictures(config))
    if config.minutes and len(some) < len(target):  # how many, the first round has yet to show
        counted = _counted(config, source, target, device)
        some = evenly(target, most_pictures(counted)) if counted else some
        about = "about " if counted else "at least "
    labelling = _labelling(asks.run, own, size, source, some, device)
    if about:
        seconds = None if about == "at least " else labelling.seconds
        labelling = labelling._replace(what=about + labelling.what, seconds=seconds)
    return [*parts, labelling], config


def _counted(
    config: TrainConfig, source: Dataset, target: Dataset, device: torch.device
) -> TrainConfig | None:
    """Of a training by the clock one of as many iterations as it has time for; None where no step
    can be timed."""
    counted = replace(config, minutes=0.0, iterations=LONG)
    seconds = _step_seconds(counted, source, target, device)
    if seconds is None:
        return None
    return replace(counted, iterations=max(1, round(60 * config.minutes / seconds)))


def _labeller(own: TrainConfig, source: Dataset, device: torch.device) -> Part:
    count = "" if own.minutes else f"{own.iterations} iterations, "
    seconds = [part.seconds for part in _phases(own, source, None, device)]
    return Part(
        "labeller",
        f"{count}the source alone, {own.detector.backbone} at {own.detector.image_size} px",
        None if None in seconds else sum(filter(None, seconds)),
    )


def _phases(
    config: TrainConfig, source: Dataset, target: Dataset | None, device: torch.device
) -> list[Part]:
    schedule = Schedule(config.phases, config.iterations, config.minutes, config.warmup)
    steps = schedule.steps(config.iterations)
    each: dict[bool, float | None] = {}
    parts = []
    for phase in config.phases:
        adapts = phase.target and config.adapts
        if config.minutes:
            seconds = 60 * config.minutes * phase.share
        else:
            if adapts not in each:
                each[adapts] = _step_seconds(config, source, target if adapts else None, device)
            one = each[adapts]
            seconds = None if one is None else steps[phase.name] * one
        parts.append(Part(phase.name, _of_phase(config, phase, steps), seconds))
    return parts


def _of_phase(config: TrainConfig, phase: Phase, steps: dict[str, int]) -> str:
    if phase.trains == "classifier":
        what = "the domain classifier alone"
    else:
        what = "source and target" if phase.target and config.adapts else "the source alone"
    count = "" if config.minutes else f"{steps[phase.name]} iterations, "
    rate = "" if phase.rate == 1 else f", {phase.rate:g} times the rate"
    return f"{count}{what}{rate}"


def _step_seconds(
    config: TrainConfig, source: Dataset, target: Dataset | None, device: torch.device
) -> float | None:
    """One iteration, the first of a detector that has learnt nothing; None for a training that is
    short, or has more processes than this one, and where memory does not do."""
    if config.iterations < LONG or world_size() > 1:
        return None
    batches, began = make_batches(config, source, target), time.monotonic()
    batch = batches[0]
    loading = config.accumulate * (time.monotonic() - began)
    try:
        learner, _ = build(config, source.classes, device, "scratch")
        moved, optimizer = unpack(pack(batch), device), learner.optimizer(config)

        def step() -> None:
            optimizer.zero_grad()
            learner(moved, 0.0).total().backward()
            learner.clip(config)
            optimizer.step()

        computing = config.accumulate * _timed(step, device)
    except torch.OutOfMemoryError:
        return None
    workers = loading_processes(config, device)
    if device.type == "cpu":  # loading takes its part of the same cores
        computing += loading / (os.cpu_count() or 1 if workers else 1)
    return max(computing, loading / max(1, workers))


def _labelling(
    run: str,
    own: TrainConfig | None,
    size: int,
    source: Dataset,
    target: Dataset,
    device: torch.device,
) -> Part:
    """``own``: of a labeller that is yet to be trained; ``size``: at which it will read."""
    if own is not None:
        sizes = sizes_of(size)
        detectors = [
            Detector.create(source.classes, own.detector.at_size(size), "scratch").to(device).eval()
            for size in sizes
        ]
    else:
        labeller = open_run(run)
        first = Detector.load(labeller.path, device, image_size=labeller.image_size)
        sizes = sizes_of(first.config.image_size)
        detectors = [first, Detector.load(labeller.path, device, image_size=sizes[1])]
    try:
        picture = target.picture(0)
        # nobody knows how much will be found, and what nothing has learnt finds too much
        seconds = _timed(lambda: look(detectors, picture, 1.0), device) * len(target)
    except (UserError, torch.OutOfMemoryError):
        seconds = None
    at = f"at {sizes[0]} and {sizes[1]} px"
    return Part("labelling", f"{len(target)} images {at}, each also mirrored", seconds)


def _timed(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of a second time: the first one also prepares kernels."""
    seconds = 0.0
    for _ in range(2):
        began = time.monotonic()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.monotonic() - began
    return seconds


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
