"""The training loop: precision, accumulation, schedule, EMA, checkpoints, resume, distributed. No
method's maths.

Try it:  ``dmaskrcnn train --preset cpu --method grl --source clear.json --target hazy/ --minutes
10``

Everything random comes with the batch, whose samples carry their own seeds and are a function of
(seed, iteration): nothing is carried from one iteration to the next but weights and optimiser
state, and a resumed run gives the same bits as an unbroken one.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from dmaskrcnn.config.schedule import Phase, Schedule
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch, Dataset, batch_loader
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import average, broadcast_path, largest, processes, rank, world_size
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.methods import Method, build_method
from dmaskrcnn.methods.parts.adabn import adapt_norms
from dmaskrcnn.run import Run
from dmaskrcnn.training.checkpoint import load_checkpoint, save_checkpoint
from dmaskrcnn.training.curves import draw_examples, plot_curves
from dmaskrcnn.training.inputs import fingerprint, loading_processes, make_batches, open_data
from dmaskrcnn.training.log import Metrics
from dmaskrcnn.training.progress import ProgressBar, stop_signals

LOG_EVERY = 20  # iterations per row of metrics.csv


def train(config: TrainConfig) -> Path:
    """Train a detector and return its run folder (see `Run`). Under torchrun every process
    calls this.

    Raises:
        UserError: bad input, divergence or a non-finite loss; what was saved before stays.
        SystemExit: 130 or 143 after Ctrl-C or SIGTERM, once the state is saved.
    """
    with processes(config.device) as device:
        source, target = open_data(config)
        trainer = Trainer(config, source, target, device)
        # Last, so that bad input leaves no empty folder.
        folder = Path(broadcast_path(str(Run.create(config)) if rank() == 0 else ""))
        _run(trainer, folder)
    return folder


def resume(folder: Path) -> Path:
    """Continue an interrupted run from its last checkpoint, bit-exactly on a CPU. Same results and
    errors as ``train``."""
    state = load_checkpoint(folder)
    config = TrainConfig.from_dict(state["config"])
    with processes(config.device) as device:
        source, target = open_data(config)
        # the checkpoint has them; the first may be gone
        trainer = Trainer(config, source, target, device, weights="scratch")
        trainer.restore(state, folder)
        _run(trainer, folder)
    return folder


def _run(trainer: Trainer, folder: Path) -> None:
    try:
        trainer.run(folder)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"out of memory at iteration {trainer.iteration} ({first_line(error)}): raise "
            "--accumulate, or lower --batch, "
            "--target-batch or --image-size; the last checkpoint is kept"
        ) from error


class Trainer:
    """One run: what ``train`` and ``resume`` drive."""

    def __init__(
        self,
        config: TrainConfig,
        source: Dataset,
        target: Dataset | None,
        device: torch.device,
        weights: str | None = None,
    ) -> None:
        """``weights`` to start from, where they are not the configuration's."""
        self.config, self.device, self.folder = config, device, Path()
        self.schedule = Schedule(config.phases, config.iterations, config.minutes, config.warmup)
        self.data = fingerprint(source, target)
        self.shown = target or source
        self.source, self.target = source, target
        torch.manual_seed(config.seed)  # the same start in every process
        detector = Detector.create(source.classes, config.detector, weights or str(config.weights))
        self.method: Method = build_method(config, detector).to(device).train()
        detector.set_precision(config.precision)
        self.ema = copy.deepcopy(detector).eval() if config.ema else None
        if self.ema is not None:
            self.method.follow(self.ema)
        self.optimizer = _optimizer(config, self.method)
        self.trainable = [p for p in detector.parameters() if p.requires_grad]
        self.iteration = self.detector_steps = 0
        self.restarted = self.adapted_norms = False
        self.seconds = 0.0
        self.window: dict[str, list[float]] = {}  # sum and count per loss since the last row

    def run(self, folder: Path) -> None:
        """Train to the end of the schedule and save in the run folder."""
        config, self.folder = self.config, folder
        main = rank() == 0
        metrics = (
            Metrics(self.folder / "metrics.csv", self.iteration, config.tensorboard)
            if main
            else None
        )
        if main and self.iteration == 0:
            self._announce()
        loader = self._load(self.schedule.phase(0.0))
        model: nn.Module = self.method
        current: Phase | None = None
        clock, saved = time.monotonic() - self.seconds, time.monotonic()
        with (
            stop_signals() as stop,
            ProgressBar(config, self.iteration, enabled=main) as bar,
            ExitStack() as loading,
        ):
            while True:
                # One exchange per iteration settles what all processes must agree on.
                now, asked = largest(
                    torch.tensor([time.monotonic() - clock, stop.signal], device=self.device)
                ).tolist()
                self.seconds, asked = now, int(asked)
                progress = self.schedule.progress(self.iteration, now)
                if progress >= 1 or asked:
                    break
                phase = self.schedule.phase(progress)
                if current is None or phase.trains != current.trains:
                    model = self._enter(phase)
                if current is None or phase.target != current.target:
                    loading.close()  # ends the processes of the last phase
                    loader = loading.enter_context(closing(self._load(phase)))
                if phase.from_average:
                    self._restart()
                current = phase
                try:
                    batches = [next(loader) for _ in range(config.accumulate)]
                except RuntimeError as error:  # a loading process is gone
                    if stop.signal:  # sent to all our processes
                        asked = stop.signal
                        break
                    if "DataLoader worker" not in str(error):
                        raise
                    raise UserError(
                        f"a process that loads images died ({first_line(error)}); if memory ran "
                        "out, lower --workers or --batch"
                    ) from error
                values = self._step(model, batches, phase, progress)
                self.iteration += 1
                if metrics:
                    self._log(values, phase, metrics)
                    bar.update(self.iteration, now, phase, values)
                    if time.monotonic() - saved > 60 * config.checkpoint_minutes:
                        self.save()
                        saved = time.monotonic()
        if metrics:
            if not asked and current:
                self._write_row(current, metrics)
            if not asked:
                self._adapt_norms()
            self.save(finished=not asked)
            metrics.close()
            if metrics.rows:
                plot_curves(
                    {config.name or config.method: metrics.path}, self.folder / "curves.png"
                )
            if not asked:
                draw_examples(
                    self.ema or self.method.detector, self.shown, self.folder / "pictures.jpg"
                )
        if asked:
            if main:
                print(
                    f"stopped at iteration {self.iteration}; saved. Continue with: dmaskrcnn "
                    f"train --resume {self.folder}",
                    file=sys.stderr,
                )
            raise SystemExit(128 + asked)

    def _announce(self) -> None:
        detector = self.method.detector
        precision = "bfloat16" if detector.dtype else "float32"
        weights = sum(p.numel() for p in self.method.parameters())
        names = ", ".join(detector.classes[:8]) + (", ..." if len(detector.classes) > 8 else "")
        print(
            f"{self.config.method}: {self.config.detector.backbone} FPN, {weights / 1e6:.1f} M "
            "weights, "
            f"{len(detector.classes)} classes ({names}), {precision} on {self.device}; "
            f"{self.data['source_images']} source and {self.data['target_images']} target images",
            file=sys.stderr,
        )
        if self.method.explanation and self.config.iterations != 0:
            print(self.method.explanation, file=sys.stderr)

    def _enter(self, phase: Phase) -> nn.Module:
        """Freeze or thaw the detector for a phase; wrap the method if other processes share the
        work."""
        for parameter in self.trainable:
            parameter.requires_grad_(phase.trains == "all")
        if world_size() == 1:
            return self.method
        return DistributedDataParallel(self.method, broadcast_buffers=False)

    def _load(self, phase: Phase) -> Generator[Batch, None, None]:
        """Batches from the current iteration on."""
        batches = make_batches(self.config, self.source, self.target if phase.target else None)
        return batch_loader(
            batches,
            self.iteration * self.config.accumulate,
            None,
            loading_processes(self.config, self.device),
        )

    @torch.no_grad()
    def _restart(self) -> None:
        """Let the detector go on from its average. Once: what resumes in the middle of a phase has
        done so."""
        if self.restarted or self.ema is None:
            return
        for weight, mean in zip(
            self.method.detector.parameters(), self.ema.parameters(), strict=True
        ):
            weight.copy_(mean)
        self.restarted = True

    def _adapt_norms(self) -> None:
        """AdaBN, once, on what is saved. Not before or during the training, which would undo it
        (docs/results.md)."""
        if not self.config.adabn or self.target is None or self.adapted_norms:
            return
        count = adapt_norms(
            self.ema or self.method.detector,
            self.source,
            self.target,
            self.config.adabn,
            self.config.seed,
        )
        print(
            f"adabn: the norms of the backbone moved towards the statistics of {count} target "
            "images",
            file=sys.stderr,
        )
        self.adapted_norms = True

    def _step(
        self, model: nn.Module, batches: list[Batch], phase: Phase, progress: float
    ) -> dict[str, float]:
        """One optimiser step over the batches; the losses and logs, averaged over batches and
        processes."""
        accumulate = len(batches)
        self.optimizer.zero_grad(set_to_none=True)
        names: list[str] = []
        sums: dict[str, Tensor] = {}
        for part, batch in enumerate(batches, 1):
            names += batch.names
            with (
                nullcontext()
                if part == accumulate or not isinstance(model, DistributedDataParallel)
                else model.no_sync()
            ):
                losses, logs = model(batch, progress)
                total = torch.stack(list(losses.values())).sum() / accumulate
                total.backward()
            for key, value in {**losses, **logs, "loss": total * accumulate}.items():
                value = value.detach().to(self.device, torch.float32) / accumulate
                sums[key] = sums[key] + value if key in sums else value
        norms = {f"gradient_{name}": norm for name, norm in self._clip().items()}
        values = torch.stack([v.to(self.device).float() for v in (*sums.values(), *norms.values())])
        finite = bool(values.isfinite().all())
        values = dict(zip((*sums, *norms), average(values).tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            broken = ", ".join(k for k, v in values.items() if not math.isfinite(v))
            where = (
                f"; images of this batch: {', '.join(names)}"
                if not finite
                else " (in another process)"
            )
            raise UserError(
                f"iteration {self.iteration}: {broken} is not finite{where}. Look at these images "
                "and their boxes with "
                "`dmaskrcnn inspect`, lower --lr, or use --precision float32; the last checkpoint "
                "is kept"
            )
        if (warning := self.method.watch(values)) and rank() == 0:
            tqdm.write(f"warning: {warning}", file=sys.stderr)
        rate = self.schedule.rate(phase, self.detector_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate
        self.optimizer.step()
        if phase.trains == "all":
            self.detector_steps += 1
            self._average_weights()
        return values | {"lr": rate * float(self.config.lr or 0)}

    def _clip(self) -> dict[str, Tensor]:
        """Clip the detector's and the classifier's gradient each by its own norm; their norms
        before clipping."""
        norms = {}
        for name, module, limit in (
            ("detector", self.method.detector, self.config.clip),
            ("classifier", self.method.classifier, self.config.classifier_clip),
        ):
            parameters = [p for p in module.parameters() if p.grad is not None] if module else []
            if parameters:
                norms[name] = nn.utils.clip_grad_norm_(parameters, float(limit or 0))
        return norms

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Exponential moving average with a decay that rises from 0.1, so that the random start is
        soon forgotten."""
        if self.ema is None:
            return
        decay = min(
            float(self.config.ema or 0), (1 + self.detector_steps) / (10 + self.detector_steps)
        )
        for mean, weight in zip(
            self.ema.parameters(), self.method.detector.parameters(), strict=True
        ):
            mean.lerp_(weight, 1 - decay)
        for mean, buffer in zip(self.ema.buffers(), self.method.detector.buffers(), strict=True):
            mean.copy_(buffer)

    def _log(self, values: dict[str, float], phase: Phase, metrics: Metrics) -> None:
        # not every iteration has every loss: a frozen detector has none
        for key, value in values.items():
            total, count = self.window.get(key, [0.0, 0])
            self.window[key] = [total + value, count + 1]
        if self.iteration % LOG_EVERY == 0:
            self._write_row(phase, metrics)

    def _write_row(self, phase: Phase, metrics: Metrics) -> None:
        """The means since the last row."""
        if self.window:
            row = {key: total / count for key, (total, count) in self.window.items()}
            metrics.write(
                {
                    "iteration": self.iteration,
                    "seconds": round(self.seconds, 1),
                    "phase": phase.name,
                    **row,
                }
            )
        self.window = {}

    # --- state ------------------------------------------------------------------------------------

    def save(self, finished: bool = False) -> None:
        """Write the detector (its averaged weights, if there is an average) and the state for
        ``resume``."""
        weights = "ema" if self.ema is not None else "last"
        (self.ema or self.method.detector).save(
            self.folder,
            weights=weights,
            method=self.config.method,
            iteration=self.iteration,
            finished=finished,
        )
        state = {
            "config": self.config.to_dict(),
            "data": self.data,
            "iteration": self.iteration,
            "detector_steps": self.detector_steps,
            "restarted": self.restarted,
            "adapted_norms": self.adapted_norms,
            "seconds": self.seconds,
            "window": self.window,
            "watch": self.method.watch_state(),
            "model": self.method.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "optimizer": self.optimizer.state_dict(),
        }
        save_checkpoint(self.folder, state)

    def restore(self, state: dict[str, Any], folder: Path) -> None:
        """Continue from what ``save`` wrote. Raises UserError when the data have changed since, or
        the state does not fit."""
        if state["data"] != self.data:
            raise UserError(
                f"--resume {folder}: the images or annotations changed since this run began, so "
                "it cannot be continued "
                "exactly; start a new run with --weights set to this one"
            )
        try:
            self.method.load_state_dict(state["model"])
            if self.ema:
                self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.method.load_watch_state(state["watch"])
            self.iteration, self.detector_steps = state["iteration"], state["detector_steps"]
            self.seconds, self.window = state["seconds"], state["window"]
            self.restarted, self.adapted_norms = state["restarted"], state["adapted_norms"]
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder / 'last.pt'}: does not fit the detector and method of its configuration "
                f"({first_line(error)}); "
                "start a new run"
            ) from error


def _optimizer(config: TrainConfig, method: Method) -> torch.optim.Optimizer:
    groups = []
    for module, factor in ((method.detector, 1.0), (method.classifier, config.classifier_lr)):
        parameters = [p for p in module.parameters() if p.requires_grad] if module else []
        for decay, members in (
            (config.weight_decay, [p for p in parameters if p.dim() > 1]),
            (0.0, [p for p in parameters if p.dim() <= 1]),  # biases and norms
        ):
            if members:
                rate = float(config.lr or 0) * factor
                groups.append(
                    {"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay}
                )
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, fused=True)
    return torch.optim.AdamW(groups, fused=True)
