"""`dmaskrcnn demo`: the main job from nothing, on street scenes that it renders itself.

Labelled clear scenes and unlabelled hazy ones are rendered; a detector learns the clear ones from
scratch; from that start a baseline goes on with the clear scenes alone, DMask R-CNN (gradient
reversal) and the mean teacher of `dmaskrcnn adapt` with the hazy ones beside them, for the same
number of iterations; all are scored on clear and hazy test scenes, which show the same streets.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from dmaskrcnn.config.presets import ADAPT
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_dataset, resize_to
from dmaskrcnn.demo import write_scenes
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.draw import contact_sheet, draw_truth
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import evaluate
from dmaskrcnn.evaluation.scores import Scores, paired_difference
from dmaskrcnn.evaluation.text import Table, interval
from dmaskrcnn.files import atomic_write, save_picture_whole, write_text
from dmaskrcnn.output_folder import create_numbered_folder
from dmaskrcnn.run import Run
from dmaskrcnn.training.curves import plot_curves
from dmaskrcnn.training.loop import train

# metres: the far end of the street is gone, the near one is pale. Extinctions of 3.912 per 100 and
# 300 m, with which all figures in docs/results.md were measured.
VISIBILITY = (76.578, 229.734)
PICTURES = 3
METRICS = {"box/AP50": "box AP50", "mask/AP50": "mask AP50"}
NOTE = "In percent, with 95 % bootstrap intervals over {} test scenes; differences are paired."


@dataclass(frozen=True)
class Size:
    """How much the demo renders and trains; the tests run a tiny one."""

    clear: int = 200
    hazy: int = 120
    test: int = 60
    start: int = 190
    adapt: int = 90


def demo(out: Path, seed: int = 0, size: Size = Size()) -> Path:
    """Run it and return its folder: ``scenes/``, the three runs, ``results.md``, ``pictures.jpg``,
    ``curves.png``.

    Raises:
        UserError: ``out`` cannot be written to, or a negative seed.
    """
    if seed < 0:
        raise UserError(f"--seed must not be negative, got {seed}")
    began = time.monotonic()
    folder = create_numbered_folder(out, "demo")
    _say("1/4 rendering street scenes")
    scenes = folder / "scenes"
    write = partial(write_scenes, progress=True)
    fog = partial(write, visibility=VISIBILITY)
    # Streets of their own for each set and each seed; those of the two test sets are the same.
    clear = write(scenes / "clear", size.clear, seed=4 * seed + 1)
    hazy = fog(scenes / "hazy", size.hazy, seed=4 * seed + 2, labelled=False)
    tests = {
        "clear": write(scenes / "test-clear", size.test, seed=4 * seed + 3),
        "hazy": fog(scenes / "test-hazy", size.test, seed=4 * seed + 3),
    }

    common: dict[str, Any] = {"source": (clear,), "out": folder, "seed": seed}
    _say("2/4 learning the clear scenes from scratch")
    config = partial(TrainConfig.from_preset, "demo")
    start = train(config(method="source", name="start", iterations=size.start, **common))
    _say(
        "3/4 from there: the baseline (clear scenes only), DMask R-CNN and the mean teacher "
        "(unlabelled hazy scenes, too)"
    )
    common |= {"weights": str(start), "iterations": size.adapt, "warmup": 20}
    runs = {
        "baseline": train(config(method="source", name="baseline", **common)),
        "DMask R-CNN": train(config(method="grl", name="dmask", target=(hazy,), **common)),
        "mean teacher": train(config(target=(hazy,), **ADAPT, **common)),
    }

    _say("4/4 scoring all on the same streets, clear and hazy")
    detectors = {name: Run(run).detector() for name, run in runs.items()}
    scores = {
        (name, air): evaluate(
            detector, test, results=runs[name] / f"{air}.json", progress=True, groups="none"
        )
        for name, detector in detectors.items()
        for air, test in tests.items()
    }
    table = _table(scores)
    write_text(folder / "results.md", f"{table.markdown()}\n\n{NOTE.format(size.test)}\n")
    _draw(detectors, tests, folder / "pictures.jpg")
    plot_curves({name: run / "metrics.csv" for name, run in runs.items()}, folder / "curves.png")
    print(f"\n{table.text()}\n\n{NOTE.format(size.test)}\n")
    print(f"pictures: {folder / 'pictures.jpg'}\ncurves: {folder / 'curves.png'}")
    print(f"done in {(time.monotonic() - began) / 60:.1f} minutes")
    print(folder)
    return folder


def _table(scores: dict[tuple[str, str], Scores]) -> Table:
    """A row per run, and one per difference to the first."""
    columns = [(air, metric) for air in ("clear", "hazy") for metric in METRICS]
    first, *others = dict.fromkeys(name for name, _ in scores)
    rows = [["", *(f"{air} {METRICS[metric]}" for air, metric in columns)]]
    for name in (first, *others):
        rows.append([name, *(interval(scores[name, air][metric]) for air, metric in columns)])
    for name in others:
        pairs = {air: (scores[first, air], scores[name, air]) for air in ("clear", "hazy")}
        gains = {air: paired_difference(*pair) for air, pair in pairs.items()}
        cells = (interval(gains[air][metric]) for air, metric in columns)
        rows.append([f"{name} − {first}", *cells])
    return Table(rows)


def _draw(detectors: dict[str, Detector], tests: dict[str, Path], out: Path) -> None:
    clear, hazy = (open_dataset(path) for path in tests.values())
    pictures = []
    for index in range(min(PICTURES, len(hazy))):
        # lines and letters become finer
        street, haze = (resize_to(data.load(index), 336, 336) for data in (clear, hazy))
        assert street.objects is not None
        pictures.append(draw_truth(street.image, street.objects, clear.classes))
        for detector in detectors.values():
            found = detector.predict(hazy.load(index).image, threshold=0.5)
            pictures.append(_enlarge(found, *haze.image.shape[1:]).draw(haze.image))
    heads = ["the street in clear air, and the truth", *(f"in haze: {n}" for n in detectors)]
    sheet = contact_sheet(pictures, len(heads), heads)
    atomic_write(out, lambda path: save_picture_whole(sheet, path, format="JPEG", quality=90))


def _enlarge(found: Detections, height: int, width: int) -> Detections:
    """The same detections in the pixels of the same image at another size."""
    scale = torch.tensor([width / found.width, height / found.height] * 2)
    masks = resize(found.masks, [height, width], InterpolationMode.NEAREST)
    return replace(found, boxes=found.boxes * scale, masks=masks)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
