"""``--batch auto``: how many images a step of this training takes on this machine.

Steps of the method itself are tried, on pictures of the data set put on the largest canvas that a
batch can be padded to: with the preset's batch first, then with twice, four times as many, until
memory is full or more is no faster.
"""

from __future__ import annotations

import copy
import gc
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch, Dataset
from dmaskrcnn.data.image import image_size
from dmaskrcnn.data.sample import Annotations, Sample
from dmaskrcnn.data.sizes import target_size
from dmaskrcnn.data.transport import pack, unpack
from dmaskrcnn.distributed import alone, largest, rank, world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.training.inputs import make_batches
from dmaskrcnn.training.learner import build, follow
from dmaskrcnn.training.room import Room

MOST = 64  # images of a pass; larger batches learn less from as many images (docs/training.md)
FULL = 0.9  # share of the memory; crowded pictures and later RoIs take more than those tried
WORTH = 1.1  # images a second of a doubled batch over those before; less is within the noise
TIMED = 2  # steps, after one that warms up
DRAWN = 8  # pictures of each domain; larger batches repeat them
LOOKED_AT = 500  # pictures of each domain, for the largest


@dataclass(frozen=True)
class Trial:
    """Steps with so many images.

    Attributes:
        bytes: the most memory that they took.
        speed: images a second.
    """

    bytes: float
    speed: float


def measured(
    config: TrainConfig, source: Dataset, target: Dataset | None, device: torch.device
) -> TrainConfig:
    """The training with a number for ``--batch auto``, as large as the process with the least room
    allows; as it is where there is a number. Raises UserError where not even one image fits."""
    if config.batch != "auto":
        return config
    shares = world_size() * config.accumulate
    if not config.trains:
        return replace(config, batch=shares)
    began, room = time.monotonic(), Room(device)
    with alone():
        first = max(1, PRESETS[config.preset].sources // shares)
        count, why = choose(_trials(config, source, target, room, shares), room.free, first)
        gc.collect()
        room.clear()
    least = -int(largest(torch.tensor(-count)))
    if least < count:
        why = "another process has room for no more"
    batch = least * shares
    if rank() == 0:
        print(
            f"--batch auto: {batch}{f', {least} at once' if shares > 1 else ''}, measured in "
            f"{time.monotonic() - began:.0f} s on {device}: {why}; --lr stays {config.lr:g}",
            file=sys.stderr,
        )
    return replace(config, batch=batch)


def choose(
    attempt: Callable[[int], Trial], room: float, first: int, most: int = MOST
) -> tuple[int, str]:
    """The number of images, and why it is no larger.

    Args:
        attempt: a trial of so many images; torch.OutOfMemoryError where they do not fit.
        room: bytes of memory.
        first: images that are tried first: fewer only where they do not fit, more only where they
            are faster.
        most: images.

    Raises:
        UserError: not even one fits.
    """
    limit = FULL * room
    full = f"{FULL:.0%} of {_size(room)}"

    def tried(count: int) -> Trial:
        try:
            return attempt(count)
        except torch.OutOfMemoryError:
            return Trial(math.inf, 0)

    size, trial = first, tried(first)
    while trial.bytes > limit:
        if size == 1:
            raise UserError(
                f"--batch auto: one image takes more than {full} of memory; lower --image-size, or "
                "give --batch a number"
            )
        size //= 2
        trial = tried(size)
    if size < first:
        return size, f"{2 * size} take more than {full}"
    before = None
    while 2 * size <= most:
        # a machine that swaps, or ends programs, must not get there
        growth = 2 * (trial.bytes - before.bytes) if before else trial.bytes
        if trial.bytes + growth > limit:
            return size, f"{2 * size} would take {_size(trial.bytes + growth)}, {full} are there"
        before, trial = trial, tried(2 * size)
        if trial.bytes > limit:
            return size, f"{2 * size} take more than {full}"
        if trial.speed < WORTH * before.speed:
            rates = f"{trial.speed:.3g} images/s instead of {before.speed:.3g}"
            return size, f"{2 * size} are hardly faster, {rates}"
        size *= 2
    return size, "no more are tried"


def _size(count: float) -> str:
    return f"{count / 2**30:.3g} GiB"


def _trials(
    config: TrainConfig, source: Dataset, target: Dataset | None, room: Room, shares: int
) -> Callable[[int], Trial]:
    """Trials with all that a training step needs, which goes with them. ``shares``: parts into
    which a batch is divided, on --target-batch too."""
    learner, average = build(config, source.classes, room.device)
    optimizer = learner.optimizer(config)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # steps of the same work that lead nowhere
    drawn = _drawn(config, source, target if config.adapts else None)

    def take(batch: Batch) -> None:
        if room.on_gpu:
            batch = unpack(pack(batch), room.device)
        optimizer.zero_grad(set_to_none=True)
        learner(batch, 0.5).total().backward()
        learner.clip(config)
        optimizer.step()
        if average is not None:
            follow(average, learner.detector, config.ema)

    def attempt(count: int) -> Trial:
        room.begin()
        domains = ((drawn.source, count), (drawn.target, config.target_batch // shares or count))
        clear, hazy = ([s[i % len(s)] for i in range(n if s else 0)] for s, n in domains)
        batch = Batch(clear, hazy)
        take(batch)
        room.wait()
        began = time.perf_counter()
        for _ in range(TIMED):
            take(batch)
        room.wait()
        return Trial(room.used(), TIMED * count / (time.perf_counter() - began))

    return attempt


def _drawn(config: TrainConfig, source: Dataset, target: Dataset | None) -> Batch:
    """Some pictures as the training gets them, all on one canvas."""
    few = replace(config, batch=DRAWN, target_batch=DRAWN if target else 0, accumulate=1)
    batch = make_batches(few, source, target)[0]
    size = _canvas(config, [source, target] if target else [source])
    clear = [_placed(sample, size) for sample in batch.source]
    hazy = [_placed(sample, size) for sample in batch.target]
    if config.settings.keeps_target_labels:  # a labeller's are still to come
        hazy = [
            replace(sample, objects=copy.copy(other.objects)) if sample.objects is None else sample
            for sample, other in zip(hazy, clear, strict=True)
        ]
    return Batch(clear, hazy)


def _canvas(config: TrainConfig, domains: Sequence[Dataset]) -> tuple[int, int]:
    """Height and width that hold every picture of the domains, as far as some of them tell."""
    factor = config.multi_scale[1]
    limits = round(config.detector.image_size * factor), round(config.detector.max_size * factor)
    sizes = [
        target_size(*image_size(data.paths[index])[0], *limits)
        for data in domains
        for index in np.unique(np.linspace(0, len(data) - 1, LOOKED_AT).astype(int))
    ]
    return max(h for h, _ in sizes), max(w for _, w in sizes)


def _placed(sample: Sample, size: tuple[int, int]) -> Sample:
    """The sample above and left on a canvas."""

    def placed(image: Tensor) -> Tensor:
        return F.pad(image, (0, size[1] - image.shape[-1], 0, size[0] - image.shape[-2]))

    objects: Annotations | None = sample.objects
    return replace(
        sample,
        image=placed(sample.image),
        objects=None if objects is None else replace(objects, masks=placed(objects.masks)),
        weak=None if sample.weak is None else placed(sample.weak),
    )
