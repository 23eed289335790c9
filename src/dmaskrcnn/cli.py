"""The command line: verbs to functions, nothing else. Imports no torch, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Union

import tyro

from .config import TrainConfig, read_yaml
from .errors import UserError

Paths = tyro.conf.Positional[tuple[Path, ...]]


@dataclass
class Demo:
    """Do the main job on rendered street scenes, in a few minutes: train a clear-only baseline and DMask R-CNN, compare them
    in haze."""

    out: Path = Path("runs")
    """Folder for the demo's folder."""
    seed: int = 0
    """Seed of the scenes and of the training."""


@dataclass
class Evaluate:
    """Score runs on labelled images: VOC AP50, COCO AP (boxes and masks) and the authors' metric, with 95 % intervals.

    With several runs, also the paired difference of each to the first. Predictions are kept as COCO results JSON.
    """

    runs: Paths
    """Run folders, or COCO results JSON files of any detector."""
    data: tuple[Path, ...]
    """The labelled test set: a COCO JSON file or a Pascal VOC folder."""
    classes: tuple[str, ...] = ()
    """Classes to score; by default those that detector and test set share."""
    out: Path | None = None
    """Folder for predictions.json and scores.json; default: evaluate-<data> in the run folder (nowhere for a results JSON)."""
    batch_size: int = 4
    """Images per forward pass."""
    bootstrap: int = 1000
    """Resamples of the images behind the intervals."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass
class Predict:
    """Find objects in images and folders: pictures with masks, boxes, names and scores, plus one JSON."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    images: Paths
    """Images, or folders of them."""
    out: Path
    """Folder for the pictures and detections.json."""
    threshold: float = 0.5
    """Lowest score to show."""
    batch_size: int = 4
    """Images per forward pass."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`."""


@dataclass
class Inspect:
    """Say what a data set holds (format, images, boxes per class, masks, sizes) and every problem in it."""

    paths: Paths
    """COCO JSON files, Pascal VOC folders, image folders."""
    all: bool = False
    """List every problem instead of the first few of each kind."""


@dataclass
class Resume:
    """Continue an interrupted run from its last checkpoint."""

    resume: Path
    """The run folder."""


Verb = Union[  # noqa: UP007 (tyro reads the annotations of each member)
    Annotated[Demo, tyro.conf.subcommand("demo")],
    Annotated[
        TrainConfig,
        tyro.conf.subcommand(
            "train",
            description="Train a detector on labelled clear images and adapt it to unlabelled hazy ones.\n\n"
            "Other ways to start: `dmaskrcnn train --resume RUN` continues an interrupted run; `--config FILE.yaml` reads "
            "these options from a file (config.yaml of any run is one), options after it win. Under torchrun several "
            "processes share the work.",
        ),
    ],
    Annotated[Evaluate, tyro.conf.subcommand("evaluate")],
    Annotated[Predict, tyro.conf.subcommand("predict")],
    Annotated[Inspect, tyro.conf.subcommand("inspect")],
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Bad input ends in one line on stderr and exit code 2; Ctrl-C in 130."""
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        print(f"dmaskrcnn: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("dmaskrcnn: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def _dispatch(arguments: list[str]) -> None:
    if arguments[:1] == ["--version"]:
        from . import __version__

        print(f"dmaskrcnn {__version__}")
        return
    if arguments[:1] == ["train"] and any(a.split("=")[0] == "--resume" for a in arguments) and "--help" not in arguments:
        run: object = tyro.cli(Resume, args=arguments[1:], prog="dmaskrcnn train")
    else:
        if arguments[:1] == ["train"]:
            arguments = ["train", *_expand_config(arguments[1:])]
        run = tyro.cli(Verb, args=arguments or ["--help"], prog="dmaskrcnn", description=_DESCRIPTION)  # type: ignore[call-overload]
    _VERBS[type(run)](run)


_DESCRIPTION = "Adapt a Mask R-CNN from labelled clear images to unlabelled hazy ones, and measure what it gains."


def _expand_config(arguments: list[str]) -> list[str]:
    """Replace ``--config FILE`` by the flags that the file stands for."""
    for position, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag != "--config":
            continue
        rest = position + (1 if value else 2)
        if not value and rest > len(arguments):
            raise UserError("--config needs a file")
        return [*arguments[:position], *_flags(read_yaml(Path(value or arguments[position + 1]))), *arguments[rest:]]
    return arguments


def _flags(values: dict) -> list[str]:
    flags: list[str] = []
    for key, value in values.items():
        flag = str(key).replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list):
            flags += [f"--{flag}", *map(str, value)] if value else []
        elif value is not None:
            flags += [f"--{flag}", str(value)]
    return flags


def _demo(verb: Demo) -> None:
    from .demo import demo

    demo(verb.out, verb.seed)


def _train(config: TrainConfig) -> None:
    from .training import train

    _say(train(config))


def _resume(verb: Resume) -> None:
    from .training import resume

    _say(resume(verb.resume))


def _say(folder: Path) -> None:
    if os.environ.get("RANK", "0") == "0":  # one of the processes of torchrun speaks
        print(folder)


def _evaluate(verb: Evaluate) -> None:
    from .evaluation import evaluate_to, folder_name, shared_classes
    from .metrics.scores import difference_table
    from .scoring import paired_difference

    if not verb.runs:
        raise UserError("evaluate: give at least one run folder or COCO results JSON")
    classes = verb.classes or shared_classes(verb.runs, verb.data)
    all_scores = []
    for run in verb.runs:
        base = verb.out or (run.with_suffix("") if run.suffix == ".json" else run) / f"evaluate-{folder_name(verb.data)}"
        out = base / run.stem if verb.out and len(verb.runs) > 1 else base
        scores = evaluate_to(
            run, verb.data, out, classes=classes, batch_size=verb.batch_size, bootstrap=verb.bootstrap, seed=verb.seed
        )
        print(f"{run}\n{scores.table()}\n\npredictions and scores: {out}\n")
        all_scores.append(scores)
    for run, scores in zip(verb.runs[1:], all_scores[1:], strict=True):
        differences = paired_difference(all_scores[0], scores)
        print(f"{run} against {verb.runs[0]}\n{difference_table(differences, scores.objects, scores.images)}")


def _predict(verb: Predict) -> None:
    from .detector import Detector
    from .distributed import resolve_device
    from .predict import predict_images

    detector = Detector.load(verb.run).to(resolve_device(verb.device)).set_precision()
    print(predict_images(detector, verb.images, verb.out, verb.threshold, verb.batch_size))


def _inspect(verb: Inspect) -> None:
    from .data.inspection import inspect

    if not verb.paths:
        raise UserError("inspect: give at least one path: a COCO JSON file, a Pascal VOC folder or an image folder")
    for path in verb.paths:
        print(inspect(path).format_text(show_all=verb.all))


_VERBS = {TrainConfig: _train, Resume: _resume, Demo: _demo, Evaluate: _evaluate, Predict: _predict, Inspect: _inspect}
