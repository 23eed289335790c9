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
from dmaskrcnn.evaluation.score import Scores, paired_difference
from dmaskrcnn.files import atomic_write, write_text
from dmaskrcnn.run import create_numbered_folder
from dmaskrcnn.training.curves import plot_curves
from dmaskrcnn.training.loop import train

VISIBILITY = (100.0, 300.0)  # metres: the far end of the street is gone, the near one is pale
PICTURES = 3


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
    clear = write_scenes(scenes / "clear", size.clear, seed=4 * seed + 1, progress=True)
    hazy = write_scenes(
        scenes / "hazy",
        size.hazy,
        seed=4 * seed + 2,
        visibility=VISIBILITY,
        labelled=False,
        progress=True,
    )
    tests = {
        "clear": write_scenes(scenes / "test-clear", size.test, seed=4 * seed + 3, progress=True),
        "hazy": write_scenes(
            scenes / "test-hazy", size.test, seed=4 * seed + 3, visibility=VISIBILITY, progress=True
        ),
    }

    common = {"source": (clear,), "out": folder, "seed": seed}
    _say("2/4 learning the clear scenes from scratch")
    start = train(_config(method="source", name="start", iterations=size.start, **common))
    _say(
        "3/4 from there: the baseline (clear scenes only), DMask R-CNN and the mean teacher "
        "(unlabelled hazy scenes, too)"
    )
    common |= {"weights": str(start), "iterations": size.adapt, "warmup": 20}
    runs = {
        "baseline": train(_config(method="source", name="baseline", **common)),
        "DMask R-CNN": train(_config(method="grl", name="dmask", target=(hazy,), **common)),
        "mean teacher": train(_config(target=(hazy,), **ADAPT, **common)),
    }

    _say("4/4 scoring all on the same streets, clear and hazy")
    detectors = {name: Detector.load(run).set_precision() for name, run in runs.items()}
    scores = {
        (name, air): evaluate(detector, test, results=runs[name] / f"{air}.json", progress=True)
        for name, detector in detectors.items()
        for air, test in tests.items()
    }
    table = _table(scores)
    write_text(folder / "results.md", table)
    _draw(detectors, tests, folder / "pictures.jpg")
    plot_curves({name: run / "metrics.csv" for name, run in runs.items()}, folder / "curves.png")
    print(f"\n{table}\npictures: {folder / 'pictures.jpg'}\ncurves: {folder / 'curves.png'}")
    print(f"done in {(time.monotonic() - began) / 60:.1f} minutes")
    print(folder)
    return folder


def _config(**values: Any) -> TrainConfig:
    return TrainConfig.from_preset("demo", **values)


def _table(scores: dict[tuple[str, str], Scores]) -> str:
    """Markdown, readable in a terminal as it is."""
    metrics = {"box AP50": "box/AP50", "mask AP50": "mask/AP50"}
    rows = [["", *(f"{air} {title}" for air in ("clear", "hazy") for title in metrics)]]
    for name in dict.fromkeys(n for n, _ in scores):
        rows.append(
            [
                name,
                *(
                    _cell(scores[name, air][m])
                    for air in ("clear", "hazy")
                    for m in metrics.values()
                ),
            ]
        )
    for name in list(dict.fromkeys(n for n, _ in scores))[1:]:
        gains = {
            air: paired_difference(scores["baseline", air], scores[name, air])
            for air in ("clear", "hazy")
        }
        cells = [
            _cell(gains[air][m], sign="+") for air in ("clear", "hazy") for m in metrics.values()
        ]
        rows.append([f"{name} − baseline", *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    images = scores["baseline", "hazy"].images
    return "\n".join(
        [
            *lines,
            "",
            f"In percent, with 95 % bootstrap intervals over {images} test scenes; "
            "differences are paired.",
            "",
        ]
    )


def _cell(metric: object, sign: str = "") -> str:
    value, low, high = (100 * getattr(metric, k) for k in ("value", "low", "high"))
    return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


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
            pictures.append(
                _enlarge(found, haze.image.shape[1], haze.image.shape[2]).draw(haze.image)
            )
    sheet = contact_sheet(
        pictures,
        1 + len(detectors),
        ["the street in clear air, and the truth", *(f"in haze: {n}" for n in detectors)],
    )
    atomic_write(out, lambda path: sheet.save(path, format="JPEG", quality=90))


def _enlarge(found: Detections, height: int, width: int) -> Detections:
    """The same detections in the pixels of the same image at another size."""
    scale = torch.tensor([width / found.width, height / found.height] * 2)
    return replace(
        found,
        boxes=found.boxes * scale,
        masks=resize(found.masks, [height, width], InterpolationMode.NEAREST),
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
