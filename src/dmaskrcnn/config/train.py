"""Configuration: one dataclass is the command line's flags, the YAML file and the Python argument.
Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from dmaskrcnn.config.presets import PRESETS, Preset
from dmaskrcnn.config.schedule import PAPER_PHASES, SOURCE_PHASES, Phase, teacher_phases
from dmaskrcnn.detector.config import Backbone, DetectorConfig, with_tuples
from dmaskrcnn.errors import UserError, first_line

FROM_PRESET = arg(help_behavior_hint="(default: the preset's)")


@dataclass
class TrainConfig:
    """What to train, on what, for how long. Values of None come from the preset."""

    source: Annotated[
        tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required)")
    ] = ()
    """Labelled clear images: COCO JSON files, Pascal VOC folders; several are joined by class
    name."""
    target: Annotated[
        tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required, but for source)")
    ] = ()
    """Unlabelled hazy images: folders. Annotations beside them are never read, except by `oracle`,
    which needs them."""
    test: Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="")] = ()
    """Labelled images to score on once training has ended; they take no part in it and choose
    nothing."""
    method: Literal["source", "grl", "teacher", "oracle"] = "grl"
    """`source`: the clear images only. `grl`: DMask R-CNN, gradient reversal through a domain
    classifier on the FPN. `teacher`: a mean teacher's detections in the hazy images. `oracle`: the
    target's labels, too, for the upper end of a comparison."""
    preset: Literal["cpu", "default", "paper", "demo"] = "default"
    """Architecture and schedule that fit together; see docs/training.md for the table."""
    classes: Annotated[
        tuple[str, ...],
        arg(metavar="CLASS ...", help_behavior_hint="(default: all of the source's)"),
    ] = ()
    """Class names to learn, in this order."""
    weights: Annotated[str | None, FROM_PRESET] = None
    """Start: `coco`, `imagenet`, `scratch`, a run folder, or a local .safetensors/.pth file
    (backbone or whole detector)."""
    out: Path = Path("runs")
    """Folder of the run folders."""
    name: Annotated[str | None, arg(help_behavior_hint="(default: the method)")] = None
    """The run folder is OUT/NAME-N."""

    iterations: Annotated[int | None, FROM_PRESET] = None
    """Length of the schedule in optimiser steps; 0 trains nothing."""
    minutes: Annotated[float | None, arg(help_behavior_hint="")] = None
    """Length of the schedule in minutes instead: the learning rate follows the clock, and training
    ends on time."""
    batch: Annotated[int | None, FROM_PRESET] = None
    """Source images per optimiser step, over all processes and accumulation steps."""
    target_batch: Annotated[
        int | None, arg(help_behavior_hint="(default: as many as source images)")
    ] = None
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
    """Iterations over which the learning rate rises to its value, at the start of each phase that
    trains the detector first."""
    ema: Annotated[float | None, FROM_PRESET] = None
    """Decay of the exponential moving average of the weights, which is what is saved and evaluated;
    0 turns it off."""

    classifier: Annotated[Literal["paper", "fcn"] | None, FROM_PRESET] = None
    """Domain classifier: the paper's joint one (18 M parameters), or a fully convolutional one per
    FPN level."""
    grl_lambda: float = 0.1
    """Factor on the reversed gradient (the paper: 0.1)."""
    grl_ramp: bool = False
    """Let the factor rise from 0 with Ganin and Lempitsky's schedule instead of keeping it
    constant."""
    grl_reverse: Annotated[Literal["gated", "always"] | None, FROM_PRESET] = None
    """`gated`: reverse the gradient only of images whose domain the classifier tells better than
    chance; `always`: as in the original."""
    grl_on: Literal["image", "instance", "both"] = "image"
    """What is aligned: whole feature maps (the original), the proposals' features, or both and
    their consistency."""
    align: bool = False
    """With `teacher`: align the domains by gradient reversal, too."""
    classifier_lr: float = 1.0
    """Learning rate of the domain classifier, as a factor on the detector's."""
    classifier_clip: float = 1.0
    """Largest norm of the domain classifier's gradient."""

    burn_in: Annotated[
        float | None,
        arg(help_behavior_hint="(default: 0.5; from a run folder 0, or 0.25 with haze)"),
    ] = None
    """With `teacher`: part of the schedule that trains on the source alone, before there is a
    teacher to follow."""
    pseudo_labels: Annotated[Path | None, arg(help_behavior_hint="")] = None
    """With `teacher`: COCO results JSON of another detector on the target images; the student
    learns these instead of its own teacher's."""
    pseudo_threshold: float = 0.5
    """Lowest score of --pseudo-labels that counts as an object; those from 0.2 up to it count as
    neither object nor background."""

    teacher_dehaze: Literal["none", "dark-channel", "mscnn", "aod-net"] = "none"
    """With `teacher`: dehaze the target images for the teacher. The student, which is what is
    saved, sees them as they are."""

    distil_boxes: bool = False
    """With `teacher`: distil the boxes' deltas, too. They drift, hence not by default."""

    haze_augment: float = 0.0
    """Probability that a source image is put behind synthetic haze, random in strength and colour
    (docs/haze.md)."""

    adabn: float = 0.0
    """How far, from 0 to 1, to move the backbone's norms towards the statistics of the target
    images once training has ended (AdaBN). Also for `source` with --target, and for a detector that
    needs no training (--iterations 0)."""

    backbone: Annotated[Backbone | None, FROM_PRESET] = None
    """Another backbone than the preset's."""
    fpn_channels: Annotated[int | None, FROM_PRESET] = None
    """Another FPN width than the preset's."""
    image_size: Annotated[int | None, FROM_PRESET] = None
    """Another short side of the network's input than the preset's, in pixels."""
    max_size: Annotated[int | None, FROM_PRESET] = None
    """Another longest side of the network's input than the preset's, in pixels."""
    drop_invalid: bool = False
    """Leave out annotations that are wrong (zero area, outside the image, ...) instead of stopping
    at the first."""

    seed: int = 0
    """Seed of everything random; on a CPU the same seed gives the same bits."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """`auto`: bfloat16 for backbone and heads where the hardware multiplies it, float32
    elsewhere."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`."""
    workers: Annotated[int | None, arg(help_behavior_hint="(default: 1; with a GPU up to 8)")] = (
        None
    )
    """Processes that load images; 0 loads in the training process."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the extra `tensorboard`)."""

    detector: DetectorConfig = field(init=False, default_factory=DetectorConfig)

    def __post_init__(self) -> None:
        preset = PRESETS.get(self.preset)
        if preset is None:
            raise UserError(
                f"--preset {self.preset!r} is unknown; choose one of {', '.join(PRESETS)}"
            )
        for name in (
            "weights",
            "batch",
            "optimizer",
            "lr",
            "weight_decay",
            "clip",
            "ema",
            "classifier",
            "grl_reverse",
        ):
            if getattr(self, name) is None:
                setattr(self, name, getattr(preset, name))
        if self.minutes is not None and self.iterations is not None:
            raise UserError("--minutes and --iterations are both given: keep one of them")
        if self.minutes is None and self.iterations is None:
            self.iterations = preset.iterations
        overrides: dict[str, Any] = {
            n: getattr(self, n)
            for n in ("backbone", "fpn_channels", "image_size", "max_size")
            if getattr(self, n) is not None
        }
        if self.weights == "scratch":
            overrides |= {"norm": "batch", "trainable_layers": 5}
        self.detector = DetectorConfig(**{**asdict(preset.detector), **overrides})
        self.source = tuple(Path(p) for p in self.source)
        self.target = tuple(Path(p) for p in self.target)
        self.test = tuple(Path(p) for p in self.test)
        self.out = Path(self.out)
        if self.target_batch is None:
            self.target_batch = self.batch if self.adapts else 0
        if self.burn_in is None:
            self.burn_in = self._usual_burn_in()
        if self.pseudo_labels is not None:
            self.pseudo_labels = Path(self.pseudo_labels)
        self._check()

    def _usual_burn_in(self) -> float:
        if self.method != "teacher":
            return 0.0
        if not Path(str(self.weights)).is_dir():
            return 0.5
        return 0.25 if self.haze_augment else 0.0  # a trained detector: only haze may be new to it

    def _check(self) -> None:
        if self.adapts and not self.target:
            kind = "labelled" if self.method == "oracle" else "a folder of unlabelled"
            raise UserError(f"--method {self.method} needs --target: {kind} hazy images")
        if self.adabn and not self.target:
            raise UserError("--adabn needs --target: a folder of unlabelled hazy images")
        if self.iterations == 0 and self.weights in ("imagenet", "scratch"):
            raise UserError(
                "--iterations 0 needs a trained detector, not --weights "
                f"{self.weights}: give a run folder"
            )
        if self.adapts and not (self.target_batch or 0) > 0:
            raise UserError(
                f"--target-batch must be above 0 with --method {self.method}, got "
                f"{self.target_batch}"
            )
        if self.method == "source" and self.target_batch:
            raise UserError("--target-batch has no use with --method source: leave it out")
        for name in ("burn_in", "pseudo_labels", "align", "teacher_dehaze", "distil_boxes"):
            if self.method != "teacher" and getattr(self, name) not in (None, 0.0, False, "none"):
                flag = name.replace("_", "-")
                raise UserError(
                    f"--{flag} has no use with --method {self.method}: leave it out, "
                    "or use --method teacher"
                )
        if self.method == "teacher" and not self.ema:
            raise UserError(
                "--ema 0 leaves --method teacher without a teacher: set it to 0.99 or more"
            )
        for name in ("haze_augment", "adabn"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"--{name.replace('_', '-')} must be in [0, 1], got {getattr(self, name)}"
                )
        if not 0 <= (self.burn_in or 0) < 1:
            raise UserError(f"--burn-in must be in [0, 1), got {self.burn_in}")
        if not 0 < self.pseudo_threshold <= 1:
            raise UserError(f"--pseudo-threshold must be in (0, 1], got {self.pseudo_threshold}")
        positive = (
            "minutes",
            "batch",
            "accumulate",
            "lr",
            "clip",
            "classifier_lr",
            "classifier_clip",
        )
        for name in (*positive, "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0, got {value}")
        for name in ("iterations", "warmup", "workers", "weight_decay", "grl_lambda", "seed"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:  # nor NaN
                raise UserError(
                    f"--{name.replace('_', '-')} must not be negative, got {getattr(self, name)}"
                )
        if not 0 <= (self.ema or 0) < 1:
            raise UserError(f"--ema must be in [0, 1), got {self.ema}")
        for name, count in (("batch", self.batch), ("target-batch", self.target_batch)):
            if count and count % self.accumulate:
                raise UserError(
                    f"--{name} {count} must be a multiple of --accumulate {self.accumulate}"
                )

    @property
    def adapts(self) -> bool:
        """Whether the method uses target images."""
        return self.method != "source"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The schedule of the method."""
        if self.method == "teacher":
            return teacher_phases(float(self.burn_in or 0))
        return PAPER_PHASES if self.method == "grl" else SOURCE_PHASES

    @property
    def augmentation(self) -> Preset:
        """The preset, which also fixes the augmentation: the same for every method."""
        return PRESETS[self.preset]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and checkpoints; ``from_dict`` reads them back."""
        values = asdict(self)
        del values["detector"]
        if self.target_batch == (self.batch if self.adapts else 0):
            # follows from the others, also where one of them is overridden
            values["target_batch"] = None

        def plain(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [plain(v) for v in value]
            return str(value) if isinstance(value, Path) else value

        return {k: plain(v) for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Raises UserError for a field that does not exist."""
        check_fields(values, "training config")
        return cls(**with_tuples(values))


def check_fields(values: dict[str, Any], where: str) -> None:
    """Raises UserError, beginning with ``where``, for a field that ``TrainConfig`` does not
    have."""
    known = {f.name for f in fields(TrainConfig) if f.init}
    if unknown := sorted(set(map(str, values)) - known):
        similar = get_close_matches(unknown[0].replace("-", "_"), known, 1)
        remedy = f"did you mean {similar[0]}?" if similar else "see config.yaml of any run"
        raise UserError(f"{where}: unknown field {unknown[0]!r}; {remedy}")


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file. Raises UserError naming the file."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: not a readable YAML file ({first_line(error)}); see config.yaml of any run"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no fields; see config.yaml of any run")
    return values
