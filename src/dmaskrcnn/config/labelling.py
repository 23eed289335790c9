"""The detector that labels the target images before a training (``--labeller``), and how it is
trained. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmaskrcnn.config.schedule import rising_decay

if TYPE_CHECKING:
    from dmaskrcnn.config.train import TrainConfig

TRAIN = "train"  # what --labeller says where there is no run to take
SELF = "self"  # and where the training itself is to label, after a first round
NOBODY = "none"  # and where nothing labels
TRAINED = (TRAIN, SELF)
LARGER = 1.5  # the size at which it reads, as a factor on that of its student
LABELS = "labels.json"  # in the run folder: what the labeller found
FOLDER = "labeller"  # there, too: the runs of its training
LARGEST = 800  # px, the short side of the published detectors


@dataclass(frozen=True)
class Labeller:
    """Who labels.

    Attributes:
        run: a run folder, perhaps with ``@SIZE``, `TRAIN` or `SELF`.
        share: of the whole training that is its own, where it is trained here.
        weights: its start; empty: chosen.
        threshold: lowest score of what it is sure of, in (0, 1].
    """

    run: str
    share: float
    weights: str
    threshold: float

    def training(self, config: TrainConfig, folder: Path, gpu: bool) -> TrainConfig:
        """How it is trained for a student of this configuration: on the source alone, in haze and
        mosaics, read larger than the student reads. On a GPU it also has a larger backbone; on a
        CPU that would leave its training too few steps.

        Args:
            config: the student's.
            folder: of the student's run, in which this one's is made.
            gpu: whether it trains on one.
        """
        from dmaskrcnn.config.methods import find_methods
        from dmaskrcnn.config.presets import PRESETS
        from dmaskrcnn.config.train import STARTS, UNTRAINED

        if self.run == SELF:
            return self._first_round(config, folder)
        small, weights = config.detector, self.weights or config.weights
        backbone = small.backbone
        if gpu and weights != "scratch" and backbone != "resnet101":
            backbone = "resnet50"
        same = backbone == small.backbone
        if not same and not self.weights and weights not in STARTS:
            weights = "imagenet"  # a detector of the student's backbone does not fit
        size = small.image_size
        large = small.at_size(max(min(2 * size, LARGEST), size) if gpu else round(LARGER * size))
        preset = PRESETS[config.preset]
        own = replace(
            config,
            method="source",
            settings=find_methods()["source"](),
            weights=weights,
            target=(),
            test=(),
            adabn=0.0,
            target_batch=0,
            read_size=0,
            mosaic=max(config.mosaic, 0.5),
            haze_augment=max(config.haze_augment, 0.5),
            ema=preset.ema if weights in UNTRAINED else config.ema,
            detector=large if same else replace(large, backbone=backbone, pyramid="fine"),
            out=folder,
            name=FOLDER,
        )
        return _part(own, self.share)

    def _first_round(self, config: TrainConfig, folder: Path) -> TrainConfig:
        part = _part(config, self.share)
        settings = replace(part.settings, labeller=NOBODY)
        return replace(part, settings=settings, test=(), adabn=0.0, out=folder, name=FOLDER)

    def size(self, trained: TrainConfig) -> int:
        """The short side in pixels at which what was ``trained`` so reads what it labels."""
        size = trained.detector.image_size
        return round(LARGER * size) if self.run == SELF else size

    def student(self, config: TrainConfig, folder: Path, trusted: bool = True) -> TrainConfig:
        """The training once labels are there: what is left of the schedule. A second round goes on
        from the first one's detector, which has had its burn-in; where its labels are not
        ``trusted``, as the first one did."""
        if self.run not in TRAINED:
            return config
        if self.run == SELF:
            labeller = self.run if trusted else NOBODY
            settings = replace(config.settings, burn_in=0.0, labeller=labeller)
            config = replace(config, weights=str(folder / f"{FOLDER}-1"), settings=settings)
        return _part(config, 1 - self.share)


def _part(config: TrainConfig, share: float) -> TrainConfig:
    """Of its schedule; from a trained detector with averages as fast as the defaults of so short a
    training."""
    from dmaskrcnn.config.train import UNTRAINED

    iterations = max(1, round(share * config.iterations)) if config.iterations else 0
    part = replace(config, iterations=iterations, minutes=share * config.minutes)
    if config.weights in UNTRAINED or not iterations:
        return part
    ema = round(rising_decay(config.ema, iterations), 4)
    return replace(part, ema=ema, settings=config.settings.from_trained(iterations))
