"""`dmaskrcnn reproduce`: the paper's table from nothing, on any data, as one command.

    dmaskrcnn reproduce --source clear/ --target hazy/ --test test/ --preset cpu \\
        --budget 0.01 --seeds 0 1

Three trainings per seed, of equal length from the same start: Mask R-CNN on the clear images
(``source``), DMask1 (``grl`` with the hazy images as they are) and DMask2 (``grl`` with the hazy
images dehazed by MSCNN). Then the eight rows of the paper (arXiv 1807.00202) with its numbers
beside ours. The original started from a detector trained on COCO; where there is none, a training
of the same length on the clear images comes first, for each seed. Everything is kept in the output
folder: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dmaskrcnn.compare.comparison import INDEX, Comparison, check_out
from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.compare.paper import ITERATIONS, MODELS, TABLE, notes_on
from dmaskrcnn.compare.rows import Plan, check_numbers, compare_rows
from dmaskrcnn.config.train import STARTS, TrainConfig
from dmaskrcnn.data import Dataset, open_dataset, open_images
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.readable import check_headers
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.device import resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.evaluation.text import interval
from dmaskrcnn.images.dehazed_set import dehaze_dataset
from dmaskrcnn.output_folder import OutputFolder
from dmaskrcnn.run import Run
from dmaskrcnn.training.loop import resume, train

T = TypeVar("T")


def reproduce(
    source: Sequence[Path],
    target: Sequence[Path],
    test: Sequence[Path],
    *,
    budget: float = 0.01,
    seeds: Sequence[int] = (0, 1),
    preset: str = "paper",
    weights: str | None = None,
    clear: Sequence[Path] = (),
    drop_invalid: bool = False,
    out: Path = Path("reproduce"),
    groups: str = "",
    orientation: Orientation = "auto",
    bootstrap: int = 1000,
    mscnn_weights: Path | None = None,
    aod_net_weights: Path | None = None,
    device: str = "auto",
    max_pixels: float = 100.0,
    images: Sequence[Path] = (),
) -> Comparison:
    """Train the three models, or go on where an earlier call stopped, and compare them.

    Args:
        source: labelled clear images.
        target: unlabelled hazy images; annotations beside them are never read.
        test: labelled hazy images, scored at the end; they take no part in training and choose
            nothing.
        budget: iterations of each training, in units of the paper's 75,000.
        seeds: of the trainings; each seed trains all three models.
        preset: architecture and everything else of the trainings, see `TrainConfig`.
        weights: where all trainings start, see `TrainConfig`; by default the preset's. Where that
            is no trained detector, each seed trains one on the source first.
        clear: labelled clear images, scored with the same runs: what adaptation costs in clear air.
        drop_invalid: leave out annotations and pictures of source and target that are wrong.
        out: the folder to write to.
        groups: which test images are resampled together, see `dmaskrcnn.data.group_images`.
        orientation: of the boxes of all labelled images, see `open_dataset`.
        bootstrap: resamples behind the intervals.
        mscnn_weights: weights of MSCNN, for target and test images; by default the project's own.
        aod_net_weights: weights of AOD-Net, for test images.
        device: ``auto``, ``cpu``, ``cuda``.
        max_pixels: largest picture that is decoded, in megapixels.
        images: folders of the pictures that a JSON or XML names, where they lie elsewhere.

    Raises:
        UserError: bad input, or ``out`` holds a reproduction with other arguments.
        SystemExit: 130 or 143 after Ctrl-C or SIGTERM during a training, once its state is saved.
    """
    arguments = {
        "source": _absolute(source),
        "target": _absolute(target),
        "test": _absolute(test),
        "budget": budget,
        "seeds": list(seeds),
        "preset": preset,
        "clear": _absolute(clear),
        "drop_invalid": drop_invalid,
        "orientation": orientation,
        "weights": weights if weights in (None, *STARTS) else _absolute([Path(str(weights))])[0],
        "out": str(Path(out).resolve()),
        "mscnn_weights": _absolute([mscnn_weights])[0] if mscnn_weights else None,
        "aod_net_weights": _absolute([aod_net_weights])[0] if aod_net_weights else None,
        "device": device,
        "max_pixels": max_pixels,
    }
    if images:
        arguments["images"] = _absolute(images)
    _check_numbers(budget, seeds, bootstrap)
    output = _open(out, arguments)
    configs = [_configs(arguments, seed) for seed in seeds]
    dehazer = Dehazer("mscnn", mscnn_weights, resolve_device(device))
    Dehazer("aod-net", aod_net_weights)
    hazy = _check_data(configs[0]["mask-rcnn"], target, test, clear, groups)
    check_out(out)
    output.begin({"arguments": arguments})
    notes = notes_on(configs[0]["mask-rcnn"], budget, seeds)
    print("\n".join(notes), file=sys.stderr)

    dehaze_dataset(dehazer, hazy, out / "target-mscnn")
    runs: dict[str, list[Run]] = {model: [] for model in MODELS}
    for number, seed in enumerate(seeds, 1):
        of_seed = f"of seed {seed} ({number}/{len(seeds)})"
        start = None
        if not configs[0]["mask-rcnn"].starts_trained:
            print(f"training {of_seed}: the start of all models", file=sys.stderr)
            start = str(_train(_configs(arguments, seed, name="start")["mask-rcnn"]).path)
        for model, config in _configs(arguments, seed, start).items():
            print(f"training {of_seed}: {MODELS[model]}", file=sys.stderr)
            runs[model].append(_train(config))
    scoring = {"groups": groups, "orientation": orientation, "bootstrap": bootstrap}
    if clear:
        notes += (_clear_air(runs, clear, out / "clear", device=device, **scoring),)
    comparison = compare_rows(
        [
            Plan(RunGroup(MODELS[model], tuple(runs[model])), dehaze, published)
            for model, dehaze, published in TABLE
        ],
        test,
        out,
        device=device,
        mscnn_weights=mscnn_weights,
        aod_net_weights=aod_net_weights,
        notes=notes,
        **scoring,
    )
    output.end({"arguments": arguments})
    return comparison


def _configs(
    arguments: dict[str, Any], seed: int, start: str | None = None, name: str = ""
) -> dict[str, TrainConfig]:
    """The three trainings with one seed, from the run ``start``, or from what is asked for; called
    ``name``, or by model. Raises UserError for what ``TrainConfig`` refuses."""
    out, iterations = Path(arguments["out"]), max(1, round(ITERATIONS * arguments["budget"]))
    names = ("source", "images", "preset", "device", "drop_invalid", "orientation", "max_pixels")
    kept = {name: arguments[name] for name in names if name in arguments}
    if weights := start or arguments["weights"]:  # otherwise the preset's
        kept["weights"] = weights
    kept |= {
        "seed": seed,
        "out": out / "runs",
        "iterations": iterations,
        "warmup": min(100, iterations // 5),
    }
    targets = {"mask-rcnn": (), "dmask1": arguments["target"], "dmask2": (out / "target-mscnn",)}
    return {
        model: TrainConfig.from_preset(
            method="grl" if images else "source",
            target=images,
            name=f"{name or model}-s{seed}",
            **kept,
        )
        for model, images in targets.items()
    }


def _train(config: TrainConfig) -> Run:
    """The finished run of this configuration: an earlier one, one that goes on, or a new one."""
    wanted, name = config.absolute().to_dict(), f"{config.name}-"
    numbers = [
        number
        for path in config.out.glob(f"{name}*")
        if (number := path.name.removeprefix(name)).isdecimal()
    ]
    for number in sorted(numbers, key=int, reverse=True):
        run = Run(config.out / f"{name}{number}")
        if run.config != wanted:
            continue
        if run.finished:
            return run
        if (run.path / "last.pt").is_file():
            return Run(_or_say_how_to_go_on(resume, run.path))
    return Run(_or_say_how_to_go_on(train, config))


def _or_say_how_to_go_on(training: Callable[[T], Path], argument: T) -> Path:
    try:
        return training(argument)
    except SystemExit:
        print("or repeat the command: `dmaskrcnn reproduce` goes on from there", file=sys.stderr)
        raise
    except UserError as error:
        raise UserError(
            f"{error} (said by a training: its options are those of `dmaskrcnn train`, which "
            "--preset chooses here)"
        ) from error


def _clear_air(
    runs: Mapping[str, Sequence[Run]], clear: Sequence[Path], out: Path, **scoring: Any
) -> str:
    """The same runs on clear images, as a sentence; their table goes to ``out``. ``scoring``: as of
    `compare_rows`."""
    plans = [Plan(RunGroup(MODELS[model], tuple(runs[model]))) for model in MODELS]
    comparison = compare_rows(plans, clear, out, **scoring)
    said, key = [], "voc/AP50"
    for row, differences in zip(comparison.rows, comparison.differences(), strict=True):
        loss = f" ({interval(differences[key])})" if key in differences else ""
        said.append(f"{row.name} {interval(row.scores[key])}{loss}")
    return (
        f"In clear air ({comparison.rows[0].scores.images} images), VOC AP50 and the difference to "
        f"{MODELS['mask-rcnn']}: {'; '.join(said)}. The whole table: {out.name}/comparison.md."
    )


def _check_numbers(budget: float, seeds: Sequence[int], bootstrap: int) -> None:
    check_numbers(bootstrap=bootstrap)
    if not (budget > 0 and math.isfinite(budget)):
        raise UserError(
            f"--budget must be above 0 (1 is the paper's {ITERATIONS:,} iterations), got {budget}"
        )
    if not seeds or len(set(seeds)) < len(seeds):
        given = " ".join(map(str, seeds)) or "is empty"
        raise UserError(f"--seeds {given}: give at least one, and each once")


def _open(out: Path, arguments: dict[str, Any]) -> OutputFolder:
    """The folder of this reproduction. Raises UserError where it is of other arguments, or of
    `compare`."""
    output = OutputFolder(out, "reproduce", "reproduce.json")
    if not output.content:
        if OutputFolder(out, "compare", INDEX).content:
            raise UserError(
                f"{out}: holds a comparison, whose table would be replaced; choose another --out"
            )
        return output
    before = dict(output.content.get("arguments", {}))
    for name, value in arguments.items():
        if before.get(name) != value:
            said = [
                " ".join(map(str, v)) if isinstance(v, list) else v
                for v in (before.get(name), value)
            ]
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{output.index}: was begun with {flag} {said[0]}, not {said[1]}; repeat it, "
                "or choose another --out"
            )
    return output


def _check_data(
    config: TrainConfig,
    target: Sequence[Path],
    test: Sequence[Path],
    clear: Sequence[Path],
    groups: str,
) -> Dataset:
    """The target images. Raises UserError, before anything is written, for data and weights that
    the trainings would refuse."""
    source = open_dataset(
        *config.source, drop_invalid=config.drop_invalid, orientation=config.orientation
    )
    if not source.labelled:
        raise UserError(
            f"--source {config.source[0]}: holds images but no labels; give a COCO JSON, a "
            "data.yaml or a folder with labels"
        )
    check_headers(source, config.drop_invalid)
    open_test_set(test, (), source.classes, groups, config.orientation)
    try:
        _ = clear and open_test_set(clear, (), source.classes, groups, config.orientation)
    except UserError as error:
        if not str(error).startswith("--groups"):
            raise
        raise UserError(f"{error} (said of --clear {clear[0]}: --groups is for both)") from error
    Detector.create(source.classes, config.detector, config.weights)
    images, drop = open_images(*target, drop_invalid=config.drop_invalid), config.drop_invalid
    return check_headers(images, drop, decode=drop)  # all are dehazed before the first training


def _absolute(paths: Sequence[Path]) -> list[str]:
    return [str(Path(path).resolve()) for path in paths]
