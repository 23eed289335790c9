"""`dmaskrcnn demo`: the main job from nothing, on street scenes that it renders itself.

Labelled clear scenes and unlabelled hazy ones are rendered; a detector learns the clear ones from
scratch; from that start a baseline goes on with the clear scenes alone, DMask R-CNN (gradient
reversal) and the mean teacher of `dmaskrcnn adapt` with the hazy ones beside them, for the same
number of iterations; all are scored on clear and hazy test scenes, which show the same streets.

Started again after an interruption, it goes on where it stopped; one that is whole only shows again
what it found.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dmaskrcnn.compare.comparison import Comparison, load_comparison
from dmaskrcnn.compare.rows import compare
from dmaskrcnn.config.presets import ADAPT
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.demo.outcome import clear_note, fill, pictures, tables, verdict
from dmaskrcnn.demo.scenes import write_scenes
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import alone_in, read_json, write_text
from dmaskrcnn.output_folder import create_numbered_folder, index_format
from dmaskrcnn.run import Run
from dmaskrcnn.training.curves import plot_curves
from dmaskrcnn.training.labeller import has_begun
from dmaskrcnn.training.loop import resume, train
from dmaskrcnn.version import __version__

# metres: the far end of the street is gone, the near one is pale. Extinctions of 3.912 per 100 and
# 300 m, with which all figures in docs/results.md were measured.
VISIBILITY = (76.578, 229.734)
INDEX = "demo.json"
NAMES = {"baseline": "baseline", "dmask": "DMask R-CNN", "adapt": "mean teacher"}
KEPT = ("baseline", "adapt")  # whose weights stay: 50 MB each, and the best in clear air and haze
Report = Callable[[Path, Comparison], object]


@dataclass(frozen=True)
class Size:
    """How much the demo renders and trains; the tests run a tiny one."""

    clear: int = 200
    hazy: int = 120
    test: int = 60
    start: int = 400
    adapt: int = 240


def demo(out: Path, seed: int = 0, size: Size = Size(), report: Report | None = None) -> Path:
    """Run it, or the rest of it, and return its folder.

    That holds ``scenes/``, a run folder for each training, ``hazy/`` and ``clear/`` (the scores,
    as of `compare`), ``results.md``, ``pictures.jpg``, ``curves.png``, ``report.html``. Of the
    trainings, what only resuming them needs is taken away at the end.

    Args:
        out: the folder of the demo's folder.
        seed: of scenes and trainings.
        size: how much to render and to train.
        report: writes the page, which the demo knows nothing of: a path and a comparison in.

    Raises:
        UserError: ``out`` cannot be written to, a negative seed, another process at the same demo.
    """
    if seed < 0:
        raise UserError(f"--seed must not be negative, got {seed}")
    how = {"version": __version__, "seed": seed, "size": asdict(size)}
    folder, done = _folder(out, how)
    with alone_in(folder, f"{folder}: another demo is running there; wait for it, or stop it"):
        if not done:
            try:
                _work(folder, seed, size, report)
            except SystemExit:  # a training was stopped, and has said how it alone goes on
                _say(f"{folder}: the same command goes on from here")
                raise
            _write_index(folder, how, complete=True)
        _tidy(folder)
        scores = {air: load_comparison(folder / air) for air in ("clear", "hazy")}
    print(f"\n{tables(scores, NAMES)}\n\n{fill(verdict(scores, NAMES))}\n")
    page = folder / "report.html"
    shown = [f"report: {page}"] * page.is_file() + [f"pictures: {folder / 'pictures.jpg'}"]
    print("\n".join(shown))
    print(folder)
    return folder


def _folder(out: Path, how: dict[str, Any]) -> tuple[Path, bool]:
    """The folder of the same demo, begun or done before, or a new one; and whether it is done."""
    for folder in sorted(out.glob("demo-*")):
        with suppress(OSError, ValueError, AttributeError):
            index = read_json(folder / INDEX)
            if {key: index.get(key) for key in how} == how:
                done = index.get("complete") is True
                _say(f"{folder}: {'done already' if done else 'going on where it stopped'}")
                return folder, done
    folder = create_numbered_folder(out, "demo")
    _write_index(folder, how, complete=False)
    return folder, False


def _write_index(folder: Path, how: dict[str, Any], complete: bool) -> None:
    content = {"format": index_format("demo"), "complete": complete, **how}
    write_text(folder / INDEX, json.dumps(content, indent=1))


def _work(folder: Path, seed: int, size: Size, report: Report | None) -> None:
    began = time.monotonic()
    _say("1/5 rendering street scenes")
    scenes = folder / "scenes"
    # Streets of their own for each set and each seed; those of the two test sets are the same.
    clear = _scenes(scenes / "clear", size.clear, seed=4 * seed + 1)
    hazy = _scenes(scenes / "hazy", size.hazy, 4 * seed + 2, visibility=VISIBILITY, labelled=False)
    tests = {
        "clear": _scenes(scenes / "test-clear", size.test, 4 * seed + 3),
        "hazy": _scenes(scenes / "test-hazy", size.test, 4 * seed + 3, visibility=VISIBILITY),
    }

    _say("2/5 learning the clear scenes from scratch")
    common: dict[str, Any] = {"source": (clear,), "out": folder, "seed": seed}
    start = _train(method="source", name="start", iterations=size.start, **common)
    _say(
        "3/5 from there: the baseline (clear scenes only), DMask R-CNN and the mean\n"
        "    teacher (unlabelled hazy scenes, too)"
    )
    common |= {"weights": str(start), "iterations": size.adapt, "warmup": 20}
    runs = [
        _train(method="source", name="baseline", **common),
        _train(method="grl", name="dmask", target=(hazy,), **common),
        # its scenes are many small objects already, for all three
        _train(target=(hazy,), **ADAPT | {"mosaic": 0.0}, **common),
    ]

    _say("4/5 scoring all on the same streets, clear and hazy")
    scores = {
        air: compare(runs, [test], out=folder / air, groups="none") for air, test in tests.items()
    }
    table = tables(scores, NAMES, markdown=True)
    write_text(folder / "results.md", f"{table}\n\n{verdict(scores, NAMES)}\n")
    detectors = {NAMES[run.name[:-2]]: Run(run).detector() for run in runs}
    pictures(detectors, tests, folder / "pictures.jpg")
    curves = {NAMES[run.name[:-2]]: run / "metrics.csv" for run in runs}
    plot_curves(curves, folder / "curves.png")

    if report:
        _say("5/5 writing the report")
        report(folder / "report.html", replace(scores["hazy"], notes=(clear_note(scores, NAMES),)))
    _say(f"done in {(time.monotonic() - began) / 60:.1f} minutes")


def _scenes(folder: Path, count: int, seed: int, **how: Any) -> Path:
    """Scenes that are there, whole; or else rendered."""
    whole = folder / "annotations.json" if how.get("labelled", True) else None
    names = sorted((folder / "images").glob("[0-9]*.png"))
    if len(names) < count or not (whole is None or whole.is_file()):
        shutil.rmtree(folder, ignore_errors=True)
        write_scenes(folder, count, seed, progress=True, **how)
    return folder


def _train(**values: Any) -> Path:
    """The run folder of a training: finished before, gone on with, or begun."""
    folder = Path(values["out"]) / f"{values['name']}-1"
    if Run(folder).finished:
        return folder
    if has_begun(folder):
        return resume(folder)
    shutil.rmtree(folder, ignore_errors=True)  # killed before its first checkpoint
    return train(TrainConfig.from_preset("demo", checkpoint_minutes=1.0, **values))


def _tidy(folder: Path) -> None:
    """Take away what only resuming needs, and the weights that nothing below points to: 980 MB
    become 140."""
    for file in folder.rglob("last.pt"):
        file.unlink()
    for file in folder.rglob("model.safetensors"):
        if file.parent.name[:-2] not in KEPT:
            file.unlink()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
