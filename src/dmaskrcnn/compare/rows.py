"""`dmaskrcnn compare`: every run with every way to dehaze the test images before, with the
project's metrics and intervals.

    dmaskrcnn compare --runs runs/source-1 runs/grl-1 --dehaze none aod-net mscnn dark-channel
    --data test/

What is expensive is kept in the output folder and found again: dehazed pictures in
``dehazed/<method>/``, predictions in ``predictions/<method>/<run>.json`` with a note beside them of
what they were made from. Started again after an interruption, with other runs or more ways to
dehaze, only what is missing is computed; what was made from other weights or other images is made
anew.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmaskrcnn.compare.comparison import (
    INDEX,
    RESAMPLES,
    Comparison,
    Row,
    load_comparison,
    save_comparison,
)
from dmaskrcnn.compare.groups import group_runs
from dmaskrcnn.compare.kept import detect
from dmaskrcnn.compare.tables import cell, csv_table, markdown
from dmaskrcnn.data import Dataset
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import load_results
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.evaluation.test_set import classes_to_score, open_test_set
from dmaskrcnn.files import check_writable
from dmaskrcnn.images.dehazed_set import Dehazed, dehaze_dataset, pictures_digest
from dmaskrcnn.output_folder import OutputFolder, check_marked
from dmaskrcnn.run import run_names

__all__ = ["Comparison", "Plan", "Row", "compare", "compare_rows", "load_comparison"]

LABELS = {
    "dark-channel": "dark channel",
    "mscnn": "MSCNN",
    "mscnn-released": "MSCNN (released)",
    "aod-net": "AOD-Net",
}


@dataclass(frozen=True)
class Plan:
    """A row to compute: fields as of `Row`."""

    name: str
    runs: tuple[Path, ...]
    dehaze: str = "none"
    published: float | None = None


def compare(
    runs: Sequence[str | Path],
    data: Sequence[str | Path],
    dehaze: Sequence[str] = ("none",),
    out: str | Path = "compare",
    **options: Any,
) -> Comparison:
    """Score every run with every way to dehaze the test images.

    Args:
        runs: run folders, and with ``dehaze`` none also COCO results JSONs. Runs that differ only
            in their seed share a row.
        data: the labelled test set.
        dehaze: "none" and methods of `Dehazer`, in the order of the rows.
        out: the folder to write to; of an earlier comparison, what still holds is used again.
        options: see `compare_rows`.

    Raises:
        UserError: unreadable input, no labels, no class in common, files that cannot be written, or
        ``out`` is of `reproduce`.
    """
    if not runs:
        raise UserError("--runs is empty: name at least one run folder or COCO results JSON")
    if not dehaze:
        raise UserError(f"--dehaze is empty: name none, or some of {', '.join(LABELS)}")
    if (Path(out) / "reproduce.json").exists():
        raise UserError(
            f"{out}: holds a reproduction, whose table would be replaced; choose another --out"
        )
    groups = group_runs(list({run.resolve(): run for run in map(Path, runs)}.values()))
    plans = [
        Plan(" + ".join(filter(None, (LABELS.get(method), group.name))), group.runs, method)
        for method in dict.fromkeys(dehaze)
        for group in groups
    ]
    return compare_rows(plans, list(map(Path, data)), Path(out), **options)


def compare_rows(
    plans: Sequence[Plan],
    data: Sequence[Path],
    out: Path,
    *,
    classes: Sequence[str] = (),
    bootstrap: int = 1000,
    seed: int = 0,
    device: str = "auto",
    mscnn_weights: Path | None = None,
    aod_net_weights: Path | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Compute rows, and write comparison.json, comparison.csv, comparison.md and report.html.

    Args:
        plans: the rows; the first is what the others are compared with.
        data: the labelled test set.
        out: see `compare`.
        classes: those to score; by default those that the test set and all runs know.
        bootstrap: resamples behind the intervals.
        seed: of the resampling.
        device: ``auto``, ``cpu``, ``cuda``.
        mscnn_weights: weights of MSCNN; by default the project's own.
        aod_net_weights: weights of AOD-Net.
        notes: lines to write below the table.

    Raises:
        UserError: as `compare`.
    """
    from dmaskrcnn.report import write_report

    check_numbers(bootstrap=bootstrap, seed=seed)
    ready = next(
        (
            run
            for plan in plans
            for run in plan.runs
            if run.suffix == ".json" and plan.dehaze != "none"
        ),
        None,
    )
    if ready is not None:
        raise UserError(
            f"{ready}: predictions were made already, so there is nothing to dehaze; "
            "compare it with --dehaze none"
        )
    runs = list(dict.fromkeys(run for plan in plans for run in plan.runs))
    truth, ids = open_test_set(data, classes_to_score(runs, data, classes))
    chosen = resolve_device(device)
    methods = dict.fromkeys(plan.dehaze for plan in plans if plan.dehaze != "none")
    weights = {"mscnn": mscnn_weights, "mscnn-released": mscnn_weights, "aod-net": aod_net_weights}
    # wrong files show now
    dehazers = {method: Dehazer(method, weights.get(method), chosen) for method in methods}
    _check_runs(runs, truth, ids)
    check_out(out)

    names = dict(zip(runs, run_names(runs), strict=True))
    seen: dict[str, Dehazed] = {}  # the test set as the detectors see it
    rows = []
    for number, plan in enumerate(plans, 1):
        if plan.dehaze not in seen:
            seen[plan.dehaze] = (
                Dehazed(truth, (0.0,) * len(truth), pictures_digest(truth))
                if plan.dehaze == "none"
                else dehaze_dataset(dehazers[plan.dehaze], truth, out / "dehazed" / plan.dehaze)
            )
        pictures, files, seconds, scores = seen[plan.dehaze], [], [], []
        for run in plan.runs:
            file, taken = run, [math.nan]
            if run.suffix != ".json":
                file = out / "predictions" / plan.dehaze / f"{names[run]}.json"
                detecting = detect(run, pictures, ids, chosen, file)
                taken = [a + b for a, b in zip(pictures.seconds, detecting, strict=True)]
            files.append(file)
            seconds += taken
            scores.append(
                score(
                    truth, load_results(file, truth.image_ids, ids), bootstrap=bootstrap, seed=seed
                )
            )
        median = statistics.median(seconds) if seconds else math.nan
        mean = over_seeds(scores)
        rows.append(
            Row(plan.name, plan.runs, plan.dehaze, tuple(files), mean, median, plan.published)
        )
        _say(
            f"{number}/{len(plans)} {plan.name}: VOC AP50 {cell(mean['voc/AP50'])}, authors' "
            f"metric {cell(mean['legacy/mAP'])}"
        )

    images = {method: out / "dehazed" / method for method in methods}
    comparison = Comparison(tuple(rows), tuple(data), images, out, tuple(notes))
    tables = {"comparison.csv": csv_table(comparison), "comparison.md": markdown(comparison)}
    save_comparison(comparison, tables)
    write_report(out, (), comparison, device=device)
    return comparison


def check_numbers(**numbers: int) -> None:
    """Raises UserError for a negative one, by the name of its flag."""
    for name, value in numbers.items():
        if value < 0:
            raise UserError(f"--{name} must not be negative, got {value}")


def _check_runs(runs: Sequence[Path], truth: Dataset, ids: Mapping[str, int]) -> None:
    """Raises UserError for weights or predictions that cannot be read: now, rather than after hours
    of other rows."""
    for run in runs:
        if run.suffix == ".json":
            load_results(run, truth.image_ids, ids)
        else:
            Detector.load(run)


def check_out(out: Path) -> None:
    """Raises UserError where the folder cannot be written to, or holds files of our names that are
    not ours."""
    names = (RESAMPLES, "comparison.csv", "comparison.md")
    OutputFolder(out, "compare", INDEX).claim(map(Path, names), rename=False)
    check_marked(out / "report.html", "report")
    check_writable(out)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
