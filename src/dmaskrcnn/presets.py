"""Architectures and training defaults that fit together. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from .errors import UserError

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_large"]


@dataclass(frozen=True)
class DetectorConfig:
    """The architecture of a Mask R-CNN: everything that is needed to build it again, besides its weights."""

    backbone: Backbone = "resnet50"
    """The convolutional network below the FPN."""
    fpn_channels: int = 256
    """Channels of every FPN level and of the RPN and mask heads."""
    box_head_width: int = 1024
    """Width of the two fully connected layers of the box head."""
    mask_head_layers: int = 4
    """3x3 convolutions of the mask head."""
    image_size: int = 800
    """Short side of the network's input in pixels."""
    max_size: int = 1333
    """Longest side of the network's input in pixels."""
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """One anchor size per level P2-P6, in pixels of the network's input; each in three aspect ratios."""
    anchors_sampled: int = 256
    """Anchors per image that enter the RPN's loss, at most half of them positive."""
    rois_sampled: int = 512
    """RoIs per image that enter the losses of the heads."""
    rois_positive: float = 0.25
    """Largest share of positives among the sampled RoIs."""
    pre_nms: tuple[int, int] = (2000, 1000)
    """Proposals per level before NMS, in training and at test time."""
    post_nms: tuple[int, int] = (2000, 1000)
    """Proposals per image after NMS, in training and at test time."""
    box_nms: float = 0.5
    """IoU above which the lower-scoring of two detections of a class is dropped."""
    min_score: float = 0.05
    """Detections below this score are never returned."""
    max_detections: int = 100
    """Detections per image."""
    trainable_layers: int = 3
    """Backbone stages that train, counted from the top; 5 means all. Ignored when trained from scratch (all train)."""
    norm: Literal["frozen", "batch"] = "frozen"
    """BatchNorm with frozen statistics (fine-tuning), or ordinary BatchNorm (training from scratch)."""

    def __post_init__(self) -> None:
        if len(self.anchor_sizes) != 5:
            raise UserError(f"detector.anchor_sizes: needs one size for each of P2-P6 (5 in all), got {self.anchor_sizes}")
        for name in ("fpn_channels", "image_size"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if self.image_size > self.max_size:
            raise UserError(
                f"detector.image_size {self.image_size} is larger than max_size {self.max_size}: "
                "raise --max-size or lower --image-size"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DetectorConfig:
        """The inverse of ``dataclasses.asdict``, also after JSON or YAML turned its tuples into lists."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(f"detector config: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return cls(**with_tuples(values))


@dataclass(frozen=True)
class Phase:
    """One stretch of the schedule."""

    name: str
    """Shown in the progress bar and the metrics."""
    share: float
    """Its part of the whole schedule; the shares of all phases add up to 1."""
    rate: float = 1.0
    """Factor on the learning rate."""
    trains: Literal["all", "classifier"] = "all"
    """What learns: everything, or the domain classifier alone."""
    target: bool = True
    """Whether batches hold target images."""
    from_average: bool = False
    """Whether the detector goes on from its averaged weights."""


# The original's three phases: 5 k iterations of the domain classifier, 50 k and 20 k of all layers (REFERENCE: arXiv
# 1807.00202).
PAPER_PHASES = (
    Phase("classifier", 5 / 75, trains="classifier"),
    Phase("adapt", 50 / 75),
    Phase("fine", 20 / 75, rate=0.1),
)
SOURCE_PHASES = (Phase("train", 55 / 75), Phase("fine", 20 / 75, rate=0.1))


def teacher_phases(burn_in: float) -> tuple[Phase, ...]:
    """The source alone for a share of the schedule, then teacher and student, in the proportions of the others' phases."""
    adapt = tuple(
        Phase(name, phase.share * (1 - burn_in), phase.rate, from_average=burn_in > 0 and name == "adapt")
        for name, phase in zip(("adapt", "fine"), SOURCE_PHASES, strict=True)
    )
    return (Phase("burn-in", burn_in, target=False), *adapt) if burn_in else adapt


@dataclass(frozen=True)
class Preset:
    """Defaults that fit together for one kind of machine; every one of them can be overridden by the flag of its name."""

    detector: DetectorConfig
    weights: str
    iterations: int
    batch: int
    optimizer: Literal["sgd", "adamw"]
    lr: float
    weight_decay: float
    clip: float
    ema: float
    classifier: Literal["paper", "fcn"]
    grl_reverse: Literal["gated", "always"]
    scale_jitter: tuple[float, float]
    strong: bool


PRESETS: dict[str, Preset] = {
    # As close to the original as torchvision allows (arXiv 1807.00202 and its released code).
    "paper": Preset(
        detector=DetectorConfig(
            backbone="resnet101",
            image_size=800,
            max_size=1024,
            rois_sampled=200,
            rois_positive=0.33,
            box_nms=0.3,
            trainable_layers=5,
        ),
        weights="imagenet",
        iterations=75_000,
        batch=1,
        optimizer="sgd",
        lr=1e-3,
        weight_decay=1e-4,
        clip=5.0,
        ema=0.0,
        classifier="paper",
        grl_reverse="always",
        scale_jitter=(1.0, 1.0),
        strong=False,
    ),
    "default": Preset(
        detector=DetectorConfig(),
        weights="coco",
        iterations=20_000,
        batch=4,
        optimizer="sgd",
        lr=5e-3,
        weight_decay=1e-4,
        clip=5.0,
        ema=0.999,
        classifier="fcn",
        grl_reverse="gated",
        scale_jitter=(0.8, 1.25),
        strong=True,
    ),
    # Ten times the images per second of `default` on two cores: a narrow network, small images, few proposals.
    "cpu": Preset(
        detector=DetectorConfig(
            backbone="resnet18",
            fpn_channels=128,
            box_head_width=512,
            mask_head_layers=2,
            image_size=320,
            max_size=640,
            anchor_sizes=(16, 32, 64, 128, 256),
            anchors_sampled=128,
            rois_sampled=64,
            pre_nms=(300, 300),
            post_nms=(200, 200),
            trainable_layers=3,
        ),
        weights="imagenet",
        iterations=3_000,
        batch=4,
        optimizer="adamw",
        lr=3e-4,
        weight_decay=1e-4,
        clip=5.0,
        ema=0.998,
        classifier="fcn",
        grl_reverse="gated",
        scale_jitter=(0.7, 1.3),
        strong=True,
    ),
    # For the rendered scenes of `dmaskrcnn demo`: learns from scratch in a minute or two on two cores.
    "demo": Preset(
        detector=DetectorConfig(
            backbone="resnet18",
            fpn_channels=64,
            box_head_width=256,
            mask_head_layers=2,
            image_size=160,
            max_size=224,
            anchor_sizes=(12, 24, 48, 96, 192),
            anchors_sampled=128,
            rois_sampled=64,
            pre_nms=(200, 200),
            post_nms=(150, 100),
        ),
        weights="scratch",
        iterations=400,
        batch=8,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=1e-4,
        clip=5.0,
        ema=0.99,
        classifier="fcn",
        grl_reverse="gated",
        scale_jitter=(0.9, 1.1),
        strong=False,
    ),
}


# What `dmaskrcnn adapt` trains: the fields of the configuration that the benchmark favours (docs/results.md).
BEST: dict[str, Any] = {"method": "teacher", "haze_augment": 0.5, "teacher_dehaze": "dark-channel"}


def with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON and YAML know lists only."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
