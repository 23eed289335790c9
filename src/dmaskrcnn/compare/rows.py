"""`dmaskrcnn compare`: every run with every way to dehaze the test images before, with the
project's metrics and intervals.

    dmaskrcnn compare --runs runs/source-1 runs/grl-1 --data test/ \\
        --dehaze none aod-net mscnn dark-channel

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmaskrcnn.compare.comparison import (
    Comparison,
    Row,
    check_out,
    row_name,
    save_comparison,
)
from dmaskrcnn.compare.groups import RunGroup, group_runs
from dmaskrcnn.compare.kept import detect, open_dehazers
from dmaskrcnn.compare.tables import csv_table, markdown
from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.device import resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import evaluate
from dmaskrcnn.evaluation.labelled import TestSet, open_shared_test_set
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.evaluation.text import interval
from dmaskrcnn.images.dehazed_set import Dehazed, dehaze_dataset, pictures_digest
from dmaskrcnn.run import open_run, run_names

if TYPE_CHECKING:
    from dmaskrcnn.dehazing import Dehazer


@dataclass(frozen=True)
class Plan:
    """A row to compute: fields as of `Row`."""

    group: RunGroup
    dehaze: str = "none"
    published: float | None = None

    @property
    def name(self) -> str:
        """As shown."""
        return row_name(self.group, self.dehaze)


def compare(
    runs: Sequence[str | Path],
    data: Sequence[str | Path],
    dehaze: Sequence[str] = ("none",),
    out: str | Path = "compare",
    *,
    classes: Sequence[str] = (),
    by_size: bool = False,
    groups: str = "",
    orientation: Orientation = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    device: str = "auto",
    mscnn_weights: Path | None = None,
    aod_net_weights: Path | None = None,
) -> Comparison:
    """Score every run with every way to dehaze the test images.

    Args:
        runs: run folders, and with ``dehaze`` none also COCO results JSONs. Runs that differ only
            in their seed share a row.
        data: the labelled test set.
        dehaze: "none" and methods of `Dehazer`, in the order of the rows.
        out: the folder to write to; of an earlier comparison, what still holds is used again.
        classes: see `compare_rows`, as the others.
        by_size: likewise.
        groups: likewise.
        orientation: likewise.
        bootstrap: likewise.
        seed: likewise.
        device: likewise.
        mscnn_weights: likewise.
        aod_net_weights: likewise.

    Raises:
        UserError: unreadable input, no labels, no class in common, files that cannot be written, or
            ``out`` is of `reproduce`.
    """
    if not runs:
        raise UserError("--runs is empty: name at least one run folder or COCO results JSON")
    if not dehaze:
        raise UserError(f"--dehaze is empty: name none, or some of {', '.join(DEHAZERS)}")
    if (Path(out) / "reproduce.json").exists():
        raise UserError(
            f"{out}: holds a reproduction, whose table would be replaced; choose another --out"
        )
    of_methods = group_runs(list({Path(run).resolve(): open_run(run) for run in runs}.values()))
    return compare_rows(
        [Plan(group, method) for method in dict.fromkeys(dehaze) for group in of_methods],
        list(map(Path, data)),
        Path(out),
        classes=classes,
        by_size=by_size,
        groups=groups,
        orientation=orientation,
        bootstrap=bootstrap,
        seed=seed,
        device=device,
        mscnn_weights=mscnn_weights,
        aod_net_weights=aod_net_weights,
    )


def compare_rows(
    plans: Sequence[Plan],
    data: Sequence[Path],
    out: Path,
    *,
    classes: Sequence[str] = (),
    by_size: bool = False,
    groups: str = "",
    orientation: Orientation = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    device: str = "auto",
    mscnn_weights: Path | None = None,
    aod_net_weights: Path | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Compute rows, and write comparison.json, comparison.csv and comparison.md.

    Args:
        plans: the rows; the first is what the others are compared with.
        data: the labelled test set.
        out: see `compare`.
        classes: those to score; by default those that the test set and all runs know.
        by_size: also small, medium and large objects by themselves.
        groups: which test images are resampled together, see `dmaskrcnn.data.group_images`.
        orientation: of the boxes of the test set, see `open_dataset`.
        bootstrap: resamples behind the intervals.
        seed: of the resampling.
        device: ``auto``, ``cpu``, ``cuda``.
        mscnn_weights: weights of MSCNN; by default the project's own.
        aod_net_weights: weights of AOD-Net.
        notes: lines to write below the table.

    Raises:
        UserError: as `compare`.
    """
    check_numbers(bootstrap=bootstrap, seed=seed)
    for plan in plans:
        if plan.dehaze != "none" and (ready := [r for r in plan.group.runs if r.is_results]):
            raise UserError(
                f"{ready[0]}: predictions were made already, so there is nothing to dehaze; "
                "compare it with --dehaze none"
            )
    runs = [run for plan in plans for run in plan.group.runs]
    test = open_shared_test_set(runs, data, classes, groups, orientation)
    methods = dict.fromkeys(plan.dehaze for plan in plans if plan.dehaze != "none")
    weights = {"mscnn": mscnn_weights, "aod-net": aod_net_weights}
    # wrong files show now
    dehazers = open_dehazers(methods, weights, device) if methods else {}
    if not all(run.is_results for run in runs):
        resolve_device(device)
    _check_runs(plans)
    check_out(out)

    rows = []
    for row in score_rows(plans, test, out, dehazers, device, bootstrap, seed, by_size):
        rows.append(row)
        print(
            f"{len(rows)}/{len(plans)} {row.name}: VOC AP50 {interval(row.scores['voc/AP50'])}, "
            f"authors' metric {interval(row.scores['legacy/mAP'])}",
            file=sys.stderr,
            flush=True,
        )
    images = {method: out / "dehazed" / method for method in methods}
    comparison = Comparison(tuple(rows), tuple(data), images, out, tuple(notes), orientation, test)
    tables = {"comparison.csv": csv_table(comparison), "comparison.md": markdown(comparison)}
    save_comparison(comparison, tables)
    return comparison


def score_runs(
    runs: Sequence[str | Path],
    data: Sequence[str | Path],
    out: Path,
    device: str = "auto",
    groups: str = "",
    orientation: Orientation = "auto",
    by_size: bool = False,
) -> Comparison:
    """Score runs on the images as they are, for a report; seeds of one method share a row.

    Args:
        runs: run folders or COCO results JSONs.
        data: the labelled test set.
        out: where the predictions are kept; no table is written.
        device: ``auto``, ``cpu``, ``cuda``.
        groups: which test images are resampled together.
        orientation: of the boxes of the test set.
        by_size: also small, medium and large objects by themselves.

    Raises:
        UserError: a run without a detector, a test set without labels, no class in common.
    """
    opened = [open_run(run) for run in runs]
    paths = tuple(map(Path, data))
    test = open_shared_test_set(opened, paths, (), groups, orientation)
    plans = [Plan(group) for group in group_runs(opened)]
    # The seconds are left to a comparison, which is what one runs to weigh costs.
    rows = (
        replace(row, seconds_per_image=math.nan)
        for row in score_rows(plans, test, out, device=device, by_size=by_size)
    )
    return Comparison(tuple(rows), paths, {}, out, orientation=orientation, test=test)


def score_rows(
    plans: Sequence[Plan],
    test: TestSet,
    out: Path,
    dehazers: Mapping[str, Dehazer] | None = None,
    device: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    by_size: bool = False,
) -> Iterator[Row]:
    """Predict what is not there yet, and score: row by row, in the order of the plans.

    Args:
        plans: the rows.
        test: with the classes to score.
        out: predictions and dehazed pictures are kept in this folder, and found again.
        dehazers: one for each way to dehaze in the plans.
        device: where detectors run.
        bootstrap: resamples behind the intervals.
        seed: of the resampling.
        by_size: also small, medium and large objects by themselves.
    """
    runs = list(dict.fromkeys(run for plan in plans for run in plan.group.runs))
    names = dict(zip(runs, run_names(runs), strict=True))
    truth = test.data
    seen: dict[str, Dehazed] = {}  # the test set as the detectors see it
    for plan in plans:
        if plan.dehaze not in seen:
            seen[plan.dehaze] = (
                Dehazed(truth, (0.0,) * len(truth), pictures_digest(truth))
                if plan.dehaze == "none"
                else dehaze_dataset(
                    (dehazers or {})[plan.dehaze], truth, out / "dehazed" / plan.dehaze
                )
            )
        pictures, files, seconds, scores = seen[plan.dehaze], [], [], []
        for run in plan.group.runs:
            file, taken = run.path, [math.nan]
            if not run.is_results:
                file = out / "predictions" / plan.dehaze / f"{names[run]}.json"
                detecting = detect(run, pictures, test.category_ids, resolve_device(device), file)
                taken = [a + b for a, b in zip(pictures.seconds, detecting, strict=True)]
            files.append(file)
            seconds += taken
            scored = evaluate(file, test, bootstrap=bootstrap, seed=seed, by_size=by_size)
            scores.append(scored)
        median = statistics.median(seconds) if seconds else math.nan
        yield Row(plan.group, plan.dehaze, tuple(files), over_seeds(scores), median, plan.published)


def check_numbers(**numbers: int) -> None:
    """Raises UserError for a negative one, by the name of its flag."""
    for name, value in numbers.items():
        if value < 0:
            raise UserError(f"--{name} must not be negative, got {value}")


def _check_runs(plans: Sequence[Plan]) -> None:
    """Raises UserError for weights that cannot be read: now, rather than after hours of other
    rows."""
    for run in dict.fromkeys(run for plan in plans for run in plan.group.runs):
        if not run.is_results:
            run.detector("cpu")
