"""Configuration: one object, whose fields are the command line's flags, the YAML file's keys and
the Python keywords. None of them is None. Imports no torch.

    TrainConfig.from_preset("cpu", method="teacher", source="clear", target="hazy", burn_in=0.3)
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from dmaskrcnn.config.labelling import NOBODY, TRAINED
from dmaskrcnn.config.methods import MethodSettings, find_methods
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.presets import BEST, PRESETS
from dmaskrcnn.config.schedule import Phase, lengthen, rising_decay
from dmaskrcnn.config.uses import check_uses
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.fields import (
    check_above_zero,
    check_not_negative,
    check_share,
    convert,
    flag,
    plain,
)
from dmaskrcnn.files import load_yaml

STARTS = ("coco", "imagenet", "scratch")  # what --weights names that is no file
UNTRAINED = ("imagenet", "scratch")  # starts whose heads are random
# the architecture of a detector that learns from nothing: there are no statistics to freeze
FROM_SCRATCH = {"norm": "batch", "trainable_layers": 5}


@dataclass(frozen=True)
class TrainConfig(TrainOptions):
    """A training, complete and checked. `from_preset` makes one from the values that differ from a
    preset's."""

    settings: MethodSettings = field(kw_only=True)
    """What the method needs to know besides, see `dmaskrcnn/methods`."""

    def __post_init__(self) -> None:
        if self.settings.name() != self.method:
            raise UserError(f"--method {self.method}: got the settings of {self.settings.name()}")
        self._check_numbers()
        self._check_length()
        self._check_target()
        self.settings.check(self)

    @classmethod
    def from_preset(cls, preset: str = "default", **values: Any) -> TrainConfig:
        """A training with the values of a preset but for those given.

        Args:
            preset: the name of one of `PRESETS` (docs/training.md).
            values: fields of `TrainOptions`, of `DetectorConfig` and of the method's settings.

        Raises:
            UserError: a field that does not exist or has no use with the method or beside the
                other values, a value of the wrong type or range, values that do not fit together.
        """
        config = cls.from_dict({"preset": preset, **values})
        check_uses(config)
        return config

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_dict`; what is left out takes the preset's value. Raises UserError as
        `from_preset`, but for values that have no use beside others: a run goes on with them."""
        options, settings = complete(typed(values, "training config"))
        return cls(**_by_name(options), settings=settings)

    def to_dict(self) -> dict[str, Any]:
        """All values, plain, for YAML and checkpoints; `from_dict` reads them back."""
        values = _by_name(self)
        detector, settings = values.pop("detector"), values.pop("settings")
        values |= _by_name(settings) | _by_name(detector)
        return {name: plain(value) for name, value in values.items()}

    def absolute(self) -> TrainConfig:
        """The same with data and weights named by paths that hold wherever the program is started:
        what a run remembers. ``out`` stays, which only says where the next run goes."""
        named = {name: getattr(self.settings, name) for name in self.settings.files}
        words = (*STARTS, *TRAINED, NOBODY)
        files = {
            name: os.path.abspath(file)
            for name, file in named.items()
            if file and file not in words
        }
        start = self.weights if self.weights in STARTS else os.path.abspath(self.weights)
        data = {
            name: tuple(Path(os.path.abspath(path)) for path in getattr(self, name))
            for name in ("source", "target", "test", "images")
        }
        return replace(self, weights=start, settings=replace(self.settings, **files), **data)

    @property
    def adapts(self) -> bool:
        """Whether the method uses target images."""
        return self.settings.uses_target

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The schedule of the method, for this number of iterations."""
        return lengthen(self.settings.phases, self.iterations)

    @property
    def trains(self) -> bool:
        """Whether there is a step to train at all."""
        return bool(self.iterations or self.minutes)

    @property
    def starts_trained(self) -> bool:
        """Whether training begins from a detector that has learnt to detect, not from a backbone or
        from nothing."""
        return self.weights not in ("imagenet", "scratch")

    @property
    def targets(self) -> int:
        """Target images per optimiser step: ``target_batch``, or as many as source images; 0 where
        the method uses none."""
        return (self.target_batch or self.sources) if self.adapts else 0

    def _check_numbers(self) -> None:
        if self.batch != "auto":
            check_above_zero(self, "batch")
        check_above_zero(self, "accumulate", "lr", "clip", "classifier_lr", "max_pixels")
        check_above_zero(self, "classifier_clip", "checkpoint_minutes", "target_every")
        check_not_negative(self, "iterations", "minutes", "target_batch", "warmup", "weight_decay")
        check_not_negative(self, "seed", "read_size")
        check_share(self, "haze_augment", "adabn", "mosaic")
        check_share(self, "ema", whole=False)
        if self.workers < -1:
            raise UserError(f"--workers must not be negative, got {self.workers}")
        for name in ("scale_jitter", "multi_scale"):
            low, high = factors = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f"{flag(name)} must be two rising factors, got {factors}")
        self.detector.at_size(self.read_size)
        for name, count in (("batch", self.sources), ("target-batch", self.targets)):
            if count % self.accumulate:
                raise UserError(
                    f"--{name} {count} must be a multiple of --accumulate {self.accumulate}"
                )

        if Path(self.name).name != self.name:
            raise UserError(f"--name {self.name!r} must be a plain name; --out chooses the folder")

    def _check_length(self) -> None:
        if self.minutes and self.iterations:
            raise UserError("--minutes and --iterations are both given: keep one of them")
        if not self.trains and self.weights in UNTRAINED:
            raise UserError(
                "--iterations 0 needs a trained detector, not --weights "
                f"{self.weights}: give a run folder"
            )

    def _check_target(self) -> None:
        if self.adapts and not self.target:
            kind = "labelled" if self.settings.reads_target_labels else "a folder of unlabelled"
            raise UserError(f"--method {self.method} needs --target: {kind} hazy images")
        if self.adabn and not self.target:
            raise UserError("--adabn needs --target: a folder of unlabelled hazy images")
        if self.target_batch and not self.adapts:
            raise UserError(f"--target-batch has no use with --method {self.method}: leave it out")


def complete(values: dict[str, Any]) -> tuple[TrainOptions, MethodSettings]:
    """All options and the settings of the method, from those that are given. The one place where a
    default follows from other values; nothing is checked but that every value has a use.

    Args:
        values: some fields, of the right types (`typed`).
    """
    if "method" not in values:
        values = favoured(values)
    methods, method = find_methods(), values["method"]
    if method not in methods:
        raise UserError(f"--method {method!r} is unknown; choose one of {', '.join(methods)}")
    own, start = _names(TrainOptions), PRESETS[values.get("preset", TrainOptions.preset)]
    options = replace(start, **{name: value for name, value in values.items() if name in own})
    if options.minutes and "iterations" not in values:
        options = replace(options, iterations=0)
    architecture = FROM_SCRATCH if options.weights == "scratch" else {}
    architecture = architecture | _chosen(values, _names(DetectorConfig))
    options = replace(options, detector=replace(start.detector, **architecture))
    if options.weights not in UNTRAINED and "ema" not in values and options.iterations:
        # No ramp there: what counts at its end. A preset's decay would keep the start in a short
        # training (0.998 after 300 steps: more than half of it).
        decay = rising_decay(options.ema, options.iterations)
        options = replace(options, ema=round(decay, 4))
    settings = methods[method]
    for name in values:
        if name not in own | _names(DetectorConfig) | _names(settings):
            raise UserError(_no_use(name, method, methods))
    return options, settings(**settings.defaults(options) | _chosen(values, _names(settings)))


def favoured(values: dict[str, Any], best: dict[str, Any] = BEST) -> dict[str, Any]:
    """The values over the ``best`` ones: without a round for labels of its own where nothing is
    trained."""
    if values.get("iterations") == 0 and not values.get("minutes"):
        best = {name: value for name, value in best.items() if name != "labeller"}
    return overlay(best, values)


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """The values of both, those ``above`` winning, as flags do over a file.

    What it said below about the same in other words goes: settings that another method lacks, the
    other way to tell the length, and the architecture that only followed from ``scratch``.
    """
    gone: set[str] = set()
    methods, method = find_methods(), above.get("method", below.get("method"))
    if method != below.get("method") and method in methods:  # what is unknown is told elsewhere
        gone |= set().union(*map(_names, methods.values()))
        gone -= _names(methods[method])
    if above.keys() & {"minutes", "iterations"}:
        gone |= {"minutes", "iterations"}
    if "weights" in above and "scratch" in (above["weights"], below.get("weights")):
        gone |= FROM_SCRATCH.keys()
    return {name: value for name, value in below.items() if name not in gone} | above


def typed(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values with the types of their fields. Raises UserError, beginning with ``where``, for
    fields that do not exist, and for values of another type."""
    methods = find_methods()
    kinds: dict[str, Any] = {}
    chosen = values.get("method", TrainOptions.method)
    # the settings of the method last: another may have one of the same name
    for name in sorted(methods, key=lambda name: name == chosen):
        kinds |= get_type_hints(methods[name])
    kinds |= get_type_hints(TrainOptions) | get_type_hints(DetectorConfig)
    if unknown := sorted(set(map(str, values)) - known_fields()):
        similar = get_close_matches(unknown[0].replace("-", "_"), known_fields(), 1)
        remedy = f"did you mean {similar[0]}?" if similar else "see config.yaml of any run"
        raise UserError(f"{where}: unknown field {unknown[0]!r}; {remedy}")
    result = {}
    for name, value in values.items():
        try:
            result[name] = convert(value, kinds[name])
        except ValueError as error:
            raise UserError(f"{where}: {name}: {error}") from error
    return result


def known_fields() -> set[str]:
    """The names that flags, YAML files and Python may give: of options, architecture and all
    methods' settings. Raises UserError where a method calls a setting like an option."""
    options = (_names(TrainOptions) | _names(DetectorConfig)) - {"detector"}
    known = set(options)
    for method, settings in find_methods().items():
        if clash := options & _names(settings):
            raise UserError(
                f"--method {method}: its setting {min(clash)!r} is an option of every training; "
                "give it another name"
            )
        known |= _names(settings)
    return known


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file. Raises UserError naming the file."""
    try:
        values = load_yaml(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable YAML file ({first_line(error)}); see config.yaml of any run"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no fields; see config.yaml of any run")
    return values


def _no_use(name: str, method: str, methods: dict[str, type[MethodSettings]]) -> str:
    others = [other for other, settings in methods.items() if name in _names(settings)]
    return (
        f"{flag(name)} has no use with --method {method}: leave it out, or use --method "
        f"{' or '.join(others)}"
    )


def _names(kind: type[TrainOptions | DetectorConfig | MethodSettings]) -> set[str]:
    return {f.name for f in fields(kind)}


def _by_name(owner: TrainOptions | DetectorConfig | MethodSettings) -> dict[str, Any]:
    """The values of a dataclass as they are; ``asdict`` would turn those inside to dicts, too."""
    return {f.name: getattr(owner, f.name) for f in fields(owner)}


def _chosen(values: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
