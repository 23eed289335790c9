"""The training loop: precision, accumulation, schedule, EMA, checkpoints, resume, distributed. No
method's maths.

Try it::

    dmaskrcnn train --preset cpu --method grl --source clear.json --target hazy/ --minutes 10

Everything random comes with the batch, whose samples carry their own seeds and are a function of
(seed, iteration): nothing is carried from one iteration to the next but weights and optimiser
state, and a resumed run gives the same bits as an unbroken one.
"""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from dmaskrcnn.config.schedule import Phase
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch
from dmaskrcnn.distributed import average, broadcast_path, largest, processes, rank, world_size
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.methods.parts.losses import Losses
from dmaskrcnn.run import Run
from dmaskrcnn.training.batch_size import measured
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.curves import draw_examples, draw_safely, plot_curves
from dmaskrcnn.training.feed import Feed
from dmaskrcnn.training.final_scores import write_final_scores
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.labeller import check_labeller, labelled, restored, stop, waits_for_labels
from dmaskrcnn.training.learner import follow
from dmaskrcnn.training.log import Metrics
from dmaskrcnn.training.plan import announce
from dmaskrcnn.training.progress import ProgressBar, stop_signals
from dmaskrcnn.training.restarts import begun_before, mark, or_anew, stopped_before
from dmaskrcnn.training.state import TrainingState
from dmaskrcnn.training.target_look import look_after, look_before, metrics_of_rounds, to_draw
from dmaskrcnn.training.target_videos import with_frames
from dmaskrcnn.training.worth import Pace, doubts_after, doubts_before, warn

# Iterations per row of metrics.csv: their mean is smooth enough to read, and a run of an hour on a
# CPU still has a hundred rows.
LOG_EVERY = 20


def train(config: TrainConfig) -> Path:
    """Train a detector and return its run folder (see `Run`). Under torchrun every process
    calls this; where torchrun has started them again, the training goes on.

    Raises:
        UserError: bad input, divergence or a non-finite loss; what was saved before stays.
        SystemExit: 130 or 143 after Ctrl-C or SIGTERM, once the state is saved.
    """
    if (begun := begun_before(config)) is not None:
        return resume(begun)
    with ExitStack() as stack, processes(config.device) as device:
        # a run knows its data wherever it is resumed
        config = with_frames(config).absolute()
        if (begun := stopped_before(config)) is not None:
            with or_anew(begun):
                return resume(begun)
        source, target = open_data(config)
        check_labeller(config)
        config = measured(config, source, target, device)
        state = TrainingState(config, source, target, device)
        main = rank() == 0
        # Last, so that bad input leaves no empty folder.
        folder = Path(broadcast_path(str(Run.create(config)) if main else ""))
        if main:
            stack.enter_context(Run(folder).training())
            mark(folder)
            asks = config.settings.asks
            warn(doubts_before(asks.student(config, folder) if asks else config))
            announce(config, folder, source, target, device)
        if config.settings.asks:
            del state  # its memory is the labeller's
            state = labelled(config, folder, source, target, device, _run)
        doubts = _run(state, folder)
        write_final_scores(folder, config, doubts)
    return folder


def resume(folder: Path) -> Path:
    """Continue an interrupted run from its last checkpoint, bit-exactly on a CPU. Same results and
    errors as ``train``."""
    # of the processes of torchrun, the first holds the folder, before it reads what is there
    main = os.environ.get("RANK", "0") == "0"
    with Run(folder).training() if main and folder.is_dir() else nullcontext():
        waiting = waits_for_labels(folder)
        checkpoint = None if waiting else Checkpoint.load(folder)
        config = TrainConfig.from_dict(checkpoint.config) if checkpoint else waiting
        assert config is not None
        with processes(config.device) as device:
            if checkpoint is None:
                state = labelled(config, folder, *open_data(config), device, _run)
            else:
                state = restored(config, folder, checkpoint, device)
            doubts = _run(state, folder)
            write_final_scores(folder, config, doubts)
    return folder


def _run(state: TrainingState, folder: Path, part_of: Path | None = None) -> list[str]:
    """Train to the end of the schedule and save in the run folder; why the result may be worth
    little. ``part_of``: the run that is resumed to go on with this one."""
    metrics, doubts = None, []  # process 0 alone writes
    if rank() == 0:
        metrics = Metrics(folder / "metrics.csv", state.iteration, state.config.tensorboard)
    try:
        asked = _loop(state, folder, metrics)
        if metrics:
            doubts = _end(state, folder, metrics, finished=not asked)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"out of memory at iteration {state.iteration} ({first_line(error)}): raise "
            "--accumulate, or lower --batch, --target-batch or --image-size; the last checkpoint "
            "is kept"
        ) from error
    if asked:
        stop(part_of or folder, f"iteration {state.iteration}", asked)
    return doubts


def _loop(state: TrainingState, folder: Path, metrics: Metrics | None) -> int:
    """Step until the schedule ends, or a signal asks to stop: its number, or 0."""
    if metrics and state.iteration == 0:
        state.announce()
    clock, saved = time.monotonic() - state.seconds, time.monotonic()
    pace = Pace(state.config, state.iteration, state.seconds)
    with (
        stop_signals() as stop,
        ProgressBar(state.schedule, state.iteration, enabled=metrics is not None) as bar,
        closing(Feed(state.config, state.source, state.target, state.device, state.gone)) as feed,
    ):
        while True:
            # One exchange per iteration settles what all processes must agree on: a process
            # that ended one iteration before the others would leave them waiting for ever.
            own = [time.monotonic() - clock, stop.signal, len(state.found_broken)]
            state.seconds, asked, broken = largest(torch.tensor(own)).tolist()
            if broken:
                state.settle_broken()
            progress = state.schedule.progress(state.iteration, state.seconds)
            if progress >= 1 or asked:
                return int(asked)

            # The step.
            phase = state.schedule.phase(progress)
            state.enter(phase)
            if metrics and phase.target and state.config.adapts:
                look_before(state, folder)
            batches = feed.take(phase, state.iteration, stop)
            # A signal may have cost one process alone its batches: then all of them stop.
            stopped = 0 if batches else stop.signal
            if world_size() > 1:
                stopped = int(largest(torch.tensor(stopped)))
            if stopped:
                return stopped
            state.look_at(batches)
            values = step(state, batches, phase, progress)
            state.iteration += 1
            if not metrics:
                continue

            # The log.
            state.window.add(values)
            if state.iteration % LOG_EVERY == 0:
                _write_row(state, metrics)
            status = f"loss {values['loss']:.2f}{state.method.status(values)}"
            bar.update(state.iteration, state.seconds, phase, status)
            warn(pace.doubts(state.iteration, state.seconds))

            # The checkpoint.
            if time.monotonic() - saved > 60 * state.config.checkpoint_minutes:
                state.save(folder)
                saved = time.monotonic()


def step(
    state: TrainingState, batches: list[Batch], phase: Phase, progress: float
) -> dict[str, float]:
    """A single training step: forward, backward, clip, look, step, average.

    Returns:
        The losses and logs, averaged over batches and processes, for a row of the log.
    """
    sums = state.parts.fitting(batches, lambda parts: _forward_and_backward(state, parts, progress))

    # Clip. Losses of rare, crowded images are many times the usual, and an adversarial
    # classifier's gradient grows without end when it wins: neither may move weights far.
    norms = {f"gradient_{name}": v for name, v in state.learner.clip(state.config).items()}

    # Look, before weights change: a loss that is not finite, or that the method's guard takes
    # for the beginning of a divergence, must not get into what is saved.
    values = _told(state, {**sums, **norms}, [name for batch in batches for name in batch.names])
    if (warning := state.method.watch(values)) and rank() == 0:
        tqdm.write(f"warning: {warning}", file=sys.stderr)

    # Step, at the rate of this point of the schedule.
    rate = state.schedule.rate(phase, state.detector_steps, progress)
    for group in state.optimizer.param_groups:
        group["lr"] = group["base_lr"] * rate
    state.optimizer.step()
    state.method.end_step()

    # Average. While the detector is frozen, its average stands still with it.
    if phase.trains == "all":
        state.detector_steps += 1
        if state.ema is not None:
            follow(state.ema, state.detector, state.decay(phase))
    return values | {"lr": rate * state.config.lr}


def _forward_and_backward(
    state: TrainingState, batches: list[Batch], progress: float
) -> dict[str, Tensor]:
    """Batch after batch: gradients add up to those of one large batch (but masks count by part),
    while memory holds the activations of a small one. Returns the means of losses and logs."""
    state.optimizer.zero_grad(set_to_none=True)
    state.method.begin_step()
    sums: dict[str, Tensor] = {}
    for part, batch in enumerate(batches, 1):
        with _exchange(state.model, part == len(batches)):
            losses: Losses = state.model(batch, progress)
            total = losses.total()
            (total / len(batches)).backward()
        for key, value in {**losses.columns(), "loss": total}.items():
            value = value.detach().to(state.device, torch.float32) / len(batches)
            sums[key] = sums[key] + value if key in sums else value
    return sums


def _exchange(model: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Where gradients are exchanged between processes: once per step, in its last backward,
    when they have added up."""
    if now or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def _told(state: TrainingState, values: dict[str, Tensor], images: list[str]) -> dict[str, float]:
    """The numbers, averaged over processes. Raises UserError, in all processes alike, where one
    is not finite."""
    # stacked, so that a GPU is waited for once per step
    stacked = torch.stack([v.to(state.device, non_blocking=True).float() for v in values.values()])
    own = stacked.isfinite().all().float()[None]
    *numbers, finite = torch.cat((average(stacked.clone()), own)).tolist()
    told = dict(zip(values, numbers, strict=True))
    if broken := ", ".join(name for name, v in told.items() if not math.isfinite(v)):
        here = f"; images of this batch: {', '.join(images)}"
        raise UserError(
            f"iteration {state.iteration}: {broken} is not finite"
            f"{' (in another process)' if finite else here}. Look at these images and their boxes "
            "with `dmaskrcnn inspect`, lower --lr, or use --precision float32; the last "
            "checkpoint is kept"
        )
    return told


def _write_row(state: TrainingState, metrics: Metrics) -> None:
    """The means since the last row, if there was a step."""
    if state.phase and (means := state.window.empty()):
        seconds = round(state.seconds, 1)
        where = {"iteration": state.iteration, "seconds": seconds, "phase": state.phase.name}
        metrics.write({**where, **means})


def _end(state: TrainingState, folder: Path, metrics: Metrics, finished: bool) -> list[str]:
    """Save what was learnt and, of a run that has come to its end, how it looks; see `_run`."""
    if finished:
        _write_row(state, metrics)
        look_before(state, folder)  # where norms are all that learns from it
        if state.config.adabn:
            state.save(folder)  # whatever becomes of the norms, the training is kept
        state.adapt_norms()
    state.save(folder, finished)
    metrics.close()
    if metrics.rows:
        rounds = metrics_of_rounds(folder, state.config.name or state.config.method)
        draw_safely(folder / "curves.png", lambda file: plot_curves(rounds, file, joined=True))
    if not finished:
        return []
    shown, best = to_draw(state, folder), 0.0

    def draw(file: Path) -> None:
        nonlocal best
        with state.as_read() as detector:
            best = draw_examples(detector, shown, file)

    draw_safely(folder / "pictures.jpg", draw)
    return doubts_after(state, metrics.rows, best) + look_after(state, folder)
