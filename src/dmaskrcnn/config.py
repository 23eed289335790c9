"""Configuration: one dataclass is the command line's flags, the YAML file and the Python argument. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from .errors import UserError, first_line

FROM_PRESET = arg(help_behavior_hint="(default: the preset's)")

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
        return cls(**_with_tuples(values))


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


# The original's three phases: 5 k iterations of the domain classifier, 50 k and 20 k of all layers (REFERENCE: arXiv
# 1807.00202).
PAPER_PHASES = (
    Phase("classifier", 5 / 75, trains="classifier"),
    Phase("adapt", 50 / 75),
    Phase("fine", 20 / 75, rate=0.1),
)
SOURCE_PHASES = (Phase("train", 55 / 75), Phase("fine", 20 / 75, rate=0.1))


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


@dataclass
class TrainConfig:
    """What to train, on what, for how long. Values of None come from the preset."""

    source: Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required)")] = ()
    """Labelled clear images: COCO JSON files, Pascal VOC folders; several are joined by class name."""
    target: Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required by grl)")] = ()
    """Unlabelled hazy images: folders. Annotations beside them are never read."""
    test: Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="")] = ()
    """Labelled images to score on once training has ended; they take no part in it and choose nothing."""
    method: Literal["source", "grl"] = "grl"
    """`source`: the clear images only. `grl`: DMask R-CNN, gradient reversal through a domain classifier on the FPN."""
    preset: Literal["cpu", "default", "paper", "demo"] = "default"
    """Architecture and schedule that fit together; see docs/training.md for the table."""
    classes: Annotated[tuple[str, ...], arg(metavar="CLASS ...", help_behavior_hint="(default: all of the source's)")] = ()
    """Class names to learn, in this order."""
    weights: Annotated[str | None, FROM_PRESET] = None
    """Start: `coco`, `imagenet`, `scratch`, a run folder, or a local .safetensors/.pth file (backbone or whole detector)."""
    out: Path = Path("runs")
    """Folder of the run folders."""
    name: Annotated[str | None, arg(help_behavior_hint="(default: the method)")] = None
    """The run folder is OUT/NAME-N."""

    iterations: Annotated[int | None, FROM_PRESET] = None
    """Length of the schedule in optimiser steps."""
    minutes: Annotated[float | None, arg(help_behavior_hint="")] = None
    """Length of the schedule in minutes instead: the learning rate follows the clock, and training ends on time."""
    batch: Annotated[int | None, FROM_PRESET] = None
    """Source images per optimiser step, over all processes and accumulation steps."""
    target_batch: Annotated[int | None, arg(help_behavior_hint="(default: as many as source images)")] = None
    """Target images per optimiser step."""
    accumulate: int = 1
    """Forward and backward passes per optimiser step: raise it when memory runs out."""
    optimizer: Annotated[Literal["sgd", "adamw"] | None, FROM_PRESET] = None
    """SGD with momentum 0.9, or AdamW."""
    lr: Annotated[float | None, FROM_PRESET] = None
    """Learning rate of the detector."""
    weight_decay: Annotated[float | None, FROM_PRESET] = None
    """Weight decay (not on biases and norms)."""
    clip: Annotated[float | None, FROM_PRESET] = None
    """Largest norm of the detector's gradient."""
    warmup: int = 100
    """Iterations over which the learning rate rises to its value, at the start of each phase that trains the detector first."""
    ema: Annotated[float | None, FROM_PRESET] = None
    """Decay of the exponential moving average of the weights, which is what is saved and evaluated; 0 turns it off."""

    classifier: Annotated[Literal["paper", "fcn"] | None, FROM_PRESET] = None
    """Domain classifier: the paper's joint one (18 M parameters), or a fully convolutional one per FPN level."""
    grl_lambda: float = 0.1
    """Factor on the reversed gradient (the paper: 0.1)."""
    grl_ramp: bool = False
    """Let the factor rise from 0 with Ganin and Lempitsky's schedule instead of keeping it constant."""
    grl_reverse: Annotated[Literal["gated", "always"] | None, FROM_PRESET] = None
    """`gated`: reverse the gradient only of images whose domain the classifier tells better than chance; `always`: as in the
    original."""
    classifier_lr: float = 1.0
    """Learning rate of the domain classifier, as a factor on the detector's."""
    classifier_clip: float = 1.0
    """Largest norm of the domain classifier's gradient."""

    backbone: Annotated[Backbone | None, FROM_PRESET] = None
    """Another backbone than the preset's."""
    fpn_channels: Annotated[int | None, FROM_PRESET] = None
    """Another FPN width than the preset's."""
    image_size: Annotated[int | None, FROM_PRESET] = None
    """Another short side of the network's input than the preset's, in pixels."""
    max_size: Annotated[int | None, FROM_PRESET] = None
    """Another longest side of the network's input than the preset's, in pixels."""
    drop_invalid: bool = False
    """Leave out annotations that are wrong (zero area, outside the image, ...) instead of stopping at the first."""

    seed: int = 0
    """Seed of everything random; on a CPU the same seed gives the same bits."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """`auto`: bfloat16 for backbone and heads where the hardware multiplies it, float32 elsewhere."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`."""
    workers: int = 1
    """Processes that load images; 0 loads in the training process."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the extra `tensorboard`)."""

    detector: DetectorConfig = field(init=False, default_factory=DetectorConfig)

    def __post_init__(self) -> None:
        preset = PRESETS.get(self.preset)
        if preset is None:
            raise UserError(f"--preset {self.preset!r} is unknown; choose one of {', '.join(PRESETS)}")
        for name in ("weights", "batch", "optimizer", "lr", "weight_decay", "clip", "ema", "classifier", "grl_reverse"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(preset, name))
        if self.minutes is not None and self.iterations is not None:
            raise UserError("--minutes and --iterations are both given: keep one of them")
        if self.minutes is None and self.iterations is None:
            self.iterations = preset.iterations
        overrides: dict[str, Any] = {
            n: getattr(self, n) for n in ("backbone", "fpn_channels", "image_size", "max_size") if getattr(self, n) is not None
        }
        if self.weights == "scratch":
            overrides |= {"norm": "batch", "trainable_layers": 5}
        self.detector = DetectorConfig(**{**asdict(preset.detector), **overrides})
        self.source = tuple(Path(p) for p in self.source)
        self.target = tuple(Path(p) for p in self.target)
        self.test = tuple(Path(p) for p in self.test)
        self.out = Path(self.out)
        if self.target_batch is None:
            self.target_batch = self.batch if self.method == "grl" else 0
        self._check()

    def _check(self) -> None:
        if self.method == "grl" and not self.target:
            raise UserError("--method grl needs --target: a folder of unlabelled hazy images")
        if self.method == "grl" and not (self.target_batch or 0) > 0:
            raise UserError(f"--target-batch must be above 0 with --method grl, got {self.target_batch}")
        if self.method == "source" and self.target_batch:
            raise UserError("--target-batch has no use with --method source: leave it out")
        positive = ("iterations", "minutes", "batch", "accumulate", "lr", "clip", "classifier_lr", "classifier_clip")
        for name in (*positive, "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0, got {value}")
        for name in ("warmup", "workers", "weight_decay", "grl_lambda", "seed"):
            if not getattr(self, name) >= 0:  # nor NaN
                raise UserError(f"--{name.replace('_', '-')} must not be negative, got {getattr(self, name)}")
        if not 0 <= (self.ema or 0) < 1:
            raise UserError(f"--ema must be in [0, 1), got {self.ema}")
        for name, count in (("batch", self.batch), ("target-batch", self.target_batch)):
            if count and count % self.accumulate:
                raise UserError(f"--{name} {count} must be a multiple of --accumulate {self.accumulate}")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The schedule of the method."""
        return PAPER_PHASES if self.method == "grl" else SOURCE_PHASES

    @property
    def augmentation(self) -> Preset:
        """The preset, which also fixes the augmentation: the same for every method."""
        return PRESETS[self.preset]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and checkpoints; ``from_dict`` reads them back."""
        values = asdict(self)
        del values["detector"]
        if self.target_batch == (self.batch if self.method == "grl" else 0):
            values["target_batch"] = None  # follows from the others, also where one of them is overridden

        def plain(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [plain(v) for v in value]
            return str(value) if isinstance(value, Path) else value

        return {k: plain(v) for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Raises UserError for a field that does not exist."""
        check_fields(values, "training config")
        return cls(**_with_tuples(values))


def check_fields(values: dict[str, Any], where: str) -> None:
    """Raises UserError, beginning with ``where``, for a field that ``TrainConfig`` does not have."""
    known = {f.name for f in fields(TrainConfig) if f.init}
    if unknown := sorted(set(map(str, values)) - known):
        similar = get_close_matches(unknown[0].replace("-", "_"), known, 1)
        remedy = f"did you mean {similar[0]}?" if similar else "see config.yaml of any run"
        raise UserError(f"{where}: unknown field {unknown[0]!r}; {remedy}")


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON and YAML know lists only."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file. Raises UserError naming the file."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({first_line(error)}); see config.yaml of any run") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no fields; see config.yaml of any run")
    return values
