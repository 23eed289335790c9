"""How much of the gap between clear and hazy each method closes, from one start, with equal
schedule and averaging.

    D=../shared/data
    S="--source $D/coco_mini/instances_train.json $D/highway/instances_train.json"
    W="--weights $D/weights/resnet18-imagenet1k-fp16.safetensors"
    python benchmarks/adaptation.py train $S $W --target $D/dawn_fog/target --oracle oracle/ \\
        --out runs/real --seeds 0 1 2
    python benchmarks/adaptation.py score --test $D/dawn_fog/test --out runs/real

``train`` makes what is missing and prints one line per finished run: stop it at any time and start
it again. Processes that share a folder must have different ``--seeds``, and the start must be
there. It never sees the test set. ``score`` scores all finished runs and writes the table to
``OUT/results.md``; ``OUT/scored.log`` says how often that was done. ``oracle/`` is the target as a
labelled data set, which only the methods called oracle are given.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from dmaskrcnn import evaluate, paired_difference
from dmaskrcnn.evaluation.bootstrap import Metric, with_interval
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.evaluation.text import Table, interval
from dmaskrcnn.run import Run, output_folders

HAZE = ["--haze-augment", "0.5"]
# after a method's name: its finished run, whose norms are adapted; nothing more is trained
ADABN = "-adabn"
NORMS = ["--method", "source", "--iterations", "0", "--adabn", "0.5"]
METHODS: dict[str, list[str]] = {
    "source": ["--method", "source"],
    "source-adabn": NORMS,
    "haze": ["--method", "source", *HAZE],
    "haze-adabn": NORMS,
    "grl": ["--method", "grl"],
    "grl-paper": ["--method", "grl", "--classifier", "paper"],
    "grl-both": ["--method", "grl", "--grl-on", "both"],
    "teacher": ["--method", "teacher"],
    "teacher-haze": ["--method", "teacher", *HAZE],
    "teacher-haze-adabn": NORMS,
    "teacher-haze-boxes": ["--method", "teacher", "--distil-boxes", *HAZE],
    # `dmaskrcnn adapt`
    "teacher-haze-dehaze": ["--method", "teacher", "--teacher-dehaze", "dark-channel", *HAZE],
    "teacher-haze-dehaze-adabn": NORMS,
    "teacher-haze-grl": ["--method", "teacher", "--align", *HAZE],
    "oracle": ["--method", "oracle"],
    "oracle-haze": ["--method", "oracle", *HAZE],
}
FIRST, LAST = "source", "oracle"  # the two ends of the gap
LEAST_OBJECTS = 30  # of a class that is shown by itself


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train")
    training.add_argument("--source", nargs="+", required=True, help="labelled clear images")
    training.add_argument("--target", required=True, help="folder of unlabelled hazy images")
    training.add_argument("--oracle", help="the same images with labels")
    training.add_argument("--weights", default="imagenet", help="start of the start")
    training.add_argument("--preset", default="cpu")
    training.add_argument("--burn-in", type=int, default=2000, help="iterations of the start")
    training.add_argument("--iterations", type=int, default=450, help="of each, from the start")
    methods = ["source", "haze", "teacher-haze", "oracle"]
    training.add_argument("--methods", nargs="+", default=methods, choices=METHODS)
    seeds = training.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    seeds.help = "none: the start alone"
    minutes = training.add_argument("--minutes", type=float, default=float("inf"))
    minutes.help = "begin no run that would end later"
    scoring = verbs.add_parser("score")
    scoring.add_argument("--test", type=Path, nargs="+", required=True, help="labelled hazy images")
    scoring.add_argument(
        "--against", default=FIRST, choices=METHODS, help="what the differences are to"
    )
    for verb in (training, scoring):
        verb.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train(args) if args.verb == "train" else score(args)


# --- training -------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> None:
    began = time.monotonic()
    common = ["--preset", args.preset, "--source", *args.source, "--out", str(args.out)]
    start = ["--weights", args.weights, "--iterations", str(args.burn_in)]
    run(args.out, "start", [*common, *METHODS["source"], *start])
    from_start = ["--weights", str(args.out / "start-1"), "--iterations", str(args.iterations)]
    for seed, method in itertools.product(args.seeds, args.methods):
        base = method.removesuffix(ADABN)
        trained = args.out / f"{base}-seed{seed}-1"
        left = args.minutes - (time.monotonic() - began) / 60
        if not Run(trained).finished and expected_minutes(args.out, base) > left:
            print(
                f"{method} {seed}: left for another time, {left:.0f} minutes are not enough",
                flush=True,
            )
            continue
        options = [*common, *METHODS[base], *from_start, "--seed", str(seed)]
        if base.startswith(LAST):
            if args.oracle is None:
                sys.exit(f"{method} needs --oracle: the target as a labelled data set")
            options += ["--target", args.oracle]
        elif "source" not in METHODS[base]:
            options += ["--target", args.target]
        run(args.out, f"{base}-seed{seed}", options)
        if method != base:
            options = [*METHODS[method], "--weights", str(trained), "--target", args.target]
            run(args.out, f"{method}-seed{seed}", [*common, *options, "--seed", str(seed)])


def run(out: Path, name: str, options: list[str]) -> None:
    """Train, or go on training, unless that is done; one line, and one row of runs.csv."""
    folder = out / f"{name}-1"
    if Run(folder).finished:
        return
    command = [sys.executable, "-m", "dmaskrcnn", "train"]
    resumed = (folder / "last.pt").is_file()
    command += ["--resume", str(folder)] if resumed else [*options, "--name", name]
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (out / f"{name}.log").open("a") as log:
        child = subprocess.Popen(command, stderr=log, stdout=log)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except KeyboardInterrupt:
            child.wait()
            raise
    trained = Run(folder)
    if status or not trained.finished:
        sys.exit(f"{name}: training failed, see {out / f'{name}.log'}")
    rows = trained.metrics  # none where nothing was trained
    seconds = rows[-1]["seconds"] if rows else time.monotonic() - began
    iterations = int(rows[-1]["iteration"]) if rows else 0
    memory = usage.ru_maxrss / 2**20
    print(f"{name}: {iterations} iterations, {seconds / 60:.1f} min, {memory:.1f} GiB", flush=True)
    new = not (out / "runs.csv").exists()
    with (out / "runs.csv").open("a") as file:
        if new:
            file.write("run,iterations,seconds,peak_GiB,resumed\n")
        file.write(f"{name},{iterations},{seconds:.0f},{memory:.2f},{int(resumed)}\n")


def timings(out: Path, method: str) -> list[float]:
    """Seconds of the runs of a method so far."""
    if not (out / "runs.csv").exists():
        return []
    with (out / "runs.csv").open() as file:
        return [
            float(row["seconds"])
            for row in csv.DictReader(file)
            if row["run"].rpartition("-seed")[0] == method
        ]


def cost(out: Path, method: str) -> float:
    """Median seconds of a run, its training included."""
    base = method.removesuffix(ADABN)
    return statistics.median(timings(out, method)) + (cost(out, base) if base != method else 0)


def expected_minutes(out: Path, method: str) -> float:
    return max(timings(out, method), default=0.0) / 60


# --- scoring --------------------------------------------------------------------------------------


def score(args: argparse.Namespace) -> None:
    rows: dict[str, dict[int, Scores]] = {}
    for method in METHODS:
        for trained in map(Run, sorted(args.out.glob(f"{method}-seed*-1"))):
            if trained.finished:
                seed = int(trained.name.split("-seed")[1].split("-")[0])
                rows.setdefault(method, {})[seed] = with_means(score_run(trained, args.test))
    for method in (FIRST, args.against):
        if method not in rows:
            sys.exit(f"{args.out}: no finished run of {method}, to which others are compared")
    with (args.out / "scored.log").open("a") as log:
        log.write(
            f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} {' '.join(map(str, args.test))}: "
            f"{', '.join(rows)}\n"
        )
    scores = next(iter(rows[FIRST].values()))
    names, titles = counted(scores), {}
    for metric, title in per_class(scores).items():
        titles |= {
            f"{metric}/{name}": f"{title} of {name} ({n} objects)" for name, n in names.items()
        }
        if len(names) > 1:
            titles[f"{metric} mean"] = f"mean {title} of these classes"
    text = "\n\n".join(
        table(args.out, rows, metric, title, args.against).markdown()
        for metric, title in titles.items()
    )
    (args.out / "results.md").write_text(text + "\n")
    print(text)


def score_run(trained: Run, test: list[Path]) -> Scores:
    """From the predictions of an earlier time, if the weights have not changed since."""
    (kept,) = output_folders([trained], test, None)
    assert kept is not None
    found = kept / "predictions.json"
    weights = trained.path / "model.safetensors"
    if found.exists() and found.stat().st_mtime > weights.stat().st_mtime:
        return evaluate(found, test)
    return evaluate(trained, test, results=found)


def with_means(scores: Scores) -> Scores:
    """With the mean over the classes that have objects enough, resample by resample."""
    names = counted(scores)
    for metric in per_class(scores) if names else ():
        parts = [scores[f"{metric}/{name}"] for name in names]
        scores.metrics[f"{metric} mean"] = with_interval(
            float(np.mean([part.value for part in parts])),
            np.mean([part.replicates for part in parts], axis=0),
        )
    return scores


def counted(scores: Scores) -> dict[str, int]:
    """The classes with enough objects to be shown by themselves, and how many they have."""
    return {name: n for name, n in scores.objects.items() if n >= LEAST_OBJECTS}


def per_class(scores: Scores) -> dict[str, str]:
    """The metrics that are shown class by class."""
    boxes = {"voc/AP50": "AP50", "box/AP": "box AP", "box/AP75": "box AP75"}
    return boxes | (
        {"mask/AP50": "mask AP50", "mask/AP": "mask AP"} if "mask/AP" in scores.metrics else {}
    )


def table(
    out: Path, rows: dict[str, dict[int, Scores]], metric: str, title: str, against: str = FIRST
) -> Table:
    """One metric of all methods, in percent: value, paired difference ``against`` one, share of the
    gap closed, time.

    What is compared is averaged over the seeds that both sides have.
    """
    heads = ["seeds", "value", f"difference to `{against}`", "of the gap closed", "time"]
    lines = [[f"{title}, %", *heads]]
    for method, by_seed in rows.items():
        difference = gap = ""
        if method != against and (seeds := by_seed.keys() & rows[against].keys()):
            pair = (over(rows, m, seeds) for m in (against, method))
            difference = interval(paired_difference(*pair)[metric])
        seeds = by_seed.keys() & rows[FIRST].keys() & rows.get(LAST, {}).keys()
        if seeds and method != FIRST and not method.startswith(LAST):
            ends = (over(rows, m, seeds)[metric] for m in (FIRST, method, LAST))
            gap = interval(gap_closed(*ends), digits=0)
        value = interval(over(rows, method, by_seed)[metric])
        relative = f"{cost(out, method) / cost(out, FIRST):.2f}×"
        drawn = ", ".join(map(str, sorted(by_seed)))
        lines.append([f"`{method}`", drawn, value, difference, gap, relative])
    return Table(lines)


def over(rows: dict[str, dict[int, Scores]], method: str, seeds: Iterable[int]) -> Scores:
    return over_seeds([rows[method][seed] for seed in sorted(seeds)])


def gap_closed(low: Metric, value: Metric, high: Metric) -> Metric:
    """``(value - low) / (high - low)``; percentiles of the resamples in which the gap is open."""
    replicates = (value.replicates - low.replicates) / np.where(
        high.replicates > low.replicates, high.replicates - low.replicates, np.nan
    )
    ends = np.nanpercentile(replicates, [2.5, 97.5])
    return Metric(
        (value.value - low.value) / (high.value - low.value), float(ends[0]), float(ends[1])
    )


if __name__ == "__main__":
    main()
