"""The state of a training: what learns, what follows it, and how far it has come."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from dmaskrcnn.config.schedule import BY_THE_CLOCK, Phase, Schedule, rising_decay
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch, Dataset, describe_learnable
from dmaskrcnn.data.sample import Broken
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import gather, rank, world_size
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.methods.parts.adabn import adapt_norms
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.fingerprint import find_gone, fingerprint
from dmaskrcnn.training.learner import build, copy_weights
from dmaskrcnn.training.log import Window
from dmaskrcnn.training.memory import Parts


class TrainingState:
    """Built by `train` and `resume`, changed by the loop, saved and restored as a `Checkpoint`."""

    def __init__(
        self,
        config: TrainConfig,
        source: Dataset,
        target: Dataset | None,
        device: torch.device,
        weights: str | None = None,
    ) -> None:
        """``weights`` to start from, where they are not the configuration's."""
        self.config, self.device = config, device
        self.schedule = Schedule(config.phases, config.iterations, config.minutes, config.warmup)
        self.source, self.target = source, target
        self.data = fingerprint(source, target)
        self.gone: dict[str, list[int]] = {}
        self.found_broken: list[Broken] = []  # by this process, and not settled with the others
        self.learner, self.ema = build(config, source.classes, device, weights)
        self.model: nn.Module = self.learner  # or what exchanges its gradients between processes
        self.method, self.detector = self.learner.method, self.learner.detector
        detector = self.detector
        self.optimizer = self.learner.optimizer(config)
        self.trainable = [p for p in detector.parameters() if p.requires_grad]
        self.phase: Phase | None = None
        self.iteration = self.detector_steps = 0
        self.restarted = self.adapted_norms = False
        self.untrained = not detector.trained
        self.seconds = 0.0
        self.window = Window()
        self.parts = Parts()

    @property
    def saved(self) -> Detector:
        """The detector that is saved and evaluated: the average, if there is one."""
        return self.ema or self.detector

    @contextmanager
    def as_read(self) -> Iterator[Detector]:
        """The detector that is saved, reading pictures as it will (``--read-size``)."""
        saved, trained = self.saved, self.saved.config
        saved.config = trained.at_size(self.config.read_size)
        try:
            yield saved
        finally:
            saved.config = trained

    def look_at(self, batches: Sequence[Batch]) -> None:
        """Take note of the pictures that could not be decoded."""
        self.found_broken += [
            found
            for batch in batches
            for found in batch.broken
            if found.place not in self.data["broken"][found.domain]
        ]

    def settle_broken(self) -> None:
        """Let all processes know of the pictures that any of them could not decode; each is named
        once."""
        for found in gather(self.found_broken):
            known = self.data["broken"][found.domain]
            if found.place not in known and rank() == 0:
                said = f"warning: another picture stands in for a broken one: {found.reason}"
                tqdm.write(said, file=sys.stderr)
            known[found.place] = found.reason
        self.found_broken = []

    def enter(self, phase: Phase) -> None:
        """What begins with a phase: freeze or thaw the detector, let it go on from its average.
        Nothing where the phase goes on."""
        learn = (phase.trains, phase.target)
        if self.phase is None or learn != (self.phase.trains, self.phase.target):
            for parameter in self.trainable:
                parameter.requires_grad_(phase.trains == "all")
            if self.learner.classifier is not None:  # there is one domain alone without a target
                self.learner.classifier.requires_grad_(phase.target)
            if world_size() > 1:
                # It expects a gradient of whatever requires one when it is built, so anew.
                with warnings.catch_warnings():  # a name that torch is about to change
                    warnings.simplefilter("ignore", FutureWarning)
                    self.model = DistributedDataParallel(
                        self.learner, broadcast_buffers=False, gradient_as_bucket_view=True
                    )
        if phase.from_average and not self.restarted:
            self._restart()
        self.phase = phase

    def decay(self, phase: Phase) -> float:
        """Of the average, after a step that trained the detector: rising where the start is no
        detector yet, and where nobody knows how many steps there will be."""
        decay = self.config.ema if phase.decay is None else phase.decay
        least = 0.0 if self.untrained else BY_THE_CLOCK if self.config.minutes else 1.0
        return rising_decay(decay, self.detector_steps, least)

    def _restart(self) -> None:
        """Let the detector go on from its average. Once: what resumes in the middle of a phase has
        done so."""
        if self.ema is not None:
            copy_weights(self.ema, self.detector)
            self.restarted = True

    def adapt_norms(self) -> None:
        """AdaBN, once, on what is saved. Not before or during the training, which would undo it
        (docs/results.md)."""
        config = self.config
        if not config.adabn or self.target is None or self.adapted_norms:
            return
        with self.as_read() as detector:
            count = adapt_norms(
                detector, self.source, self.target, config.adabn, config.seed, self.gone
            )
        print(
            "adabn: the norms of the backbone moved towards the statistics of "
            f"{count} target images",
            file=sys.stderr,
        )
        self.adapted_norms = True

    def announce(self) -> None:
        """Say what is trained, on what."""
        detector, learnable = self.detector, describe_learnable(self.source)
        precision = "bfloat16" if detector.dtype else "float32"
        weights = sum(p.numel() for p in self.learner.parameters())
        names = ", ".join(detector.classes[:8]) + (", ..." if len(detector.classes) > 8 else "")
        print(
            f"{self.config.method}: {self.config.detector.backbone} FPN, {weights / 1e6:.1f} M "
            "weights, "
            f"{len(detector.classes)} classes ({names}), {precision} on {self.device}; "
            f"{self.data['source_images']} source and {self.data['target_images']} target images; "
            f"to learn: {', '.join(learnable.per_class) or 'nothing'}",
            *(f"warning: --source: {warning}" for warning in learnable.warnings),
            sep="\n",
            file=sys.stderr,
        )
        if self.method.explanation and self.config.trains:
            print(self.method.explanation, file=sys.stderr)

    def save(self, folder: Path, finished: bool = False) -> None:
        """Write the detector (its averaged weights, if there is an average) and the state for
        ``resume``."""
        self.saved.save(
            folder,
            self.config.read_size,
            weights="ema" if self.ema is not None else "last",
            method=self.config.method,
            iteration=self.iteration,
            finished=finished,
        )
        Checkpoint(
            config=self.config.to_dict(),
            data=self.data,
            iteration=self.iteration,
            detector_steps=self.detector_steps,
            restarted=self.restarted,
            adapted_norms=self.adapted_norms,
            untrained=self.untrained,
            seconds=self.seconds,
            window=self.window.sums,
            model=self.learner.state_dict(),
            ema=self.ema.state_dict() if self.ema else {},
            optimizer=self.optimizer.state_dict(),
            method=self.method.state(),
        ).save(folder)

    def restore(self, state: Checkpoint, folder: Path) -> None:
        """Continue from what ``save`` wrote. Raises UserError when the data have changed since, or
        the state does not fit."""
        try:
            domains = {"source": self.source, "target": self.target}
            self.gone, self.data = find_gone(state.data, self.data, domains), state.data
        except ValueError as error:
            raise UserError(
                f"--resume {folder}: the images or annotations changed since this run began "
                f"({error}), so it cannot be continued exactly; start a new run with --weights set "
                "to this one"
            ) from error
        try:
            self.learner.load_state_dict(state.model)
            if self.ema:
                self.ema.load_state_dict(state.ema)
            self.optimizer.load_state_dict(state.optimizer)
            self.method.load_state(state.method)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder / 'last.pt'}: does not fit the detector and method of its configuration "
                f"({first_line(error)}); start a new run"
            ) from error
        self.iteration, self.detector_steps = state.iteration, state.detector_steps
        self.restarted, self.adapted_norms = state.restarted, state.adapted_norms
        self.untrained = state.untrained
        self.seconds, self.window = state.seconds, Window(state.window)
