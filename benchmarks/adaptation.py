"""How much of the gap between clear and hazy each method closes, from one start per seed, with
equal schedule and averaging.

    D=../shared/data
    S="--source $D/coco_mini/instances_train.json $D/highway/instances_train.json"
    W="--weights $D/weights/resnet18-imagenet1k-fp16.safetensors"
    python benchmarks/adaptation.py train $S $W --target $D/dawn_fog/target --oracle oracle/ \\
        --out runs/real --seeds 0 1 2
    python benchmarks/adaptation.py score --test $D/dawn_fog/test --clear CLEAR --out runs/real

``train`` makes what is missing and prints one line per finished run: stop it at any time and start
it again. All methods of a seed begin with its own ``OUT/start-seedN-1``: with one start for all,
intervals over seeds would hold only what chance does after it (about half; in simulations they
covered 84 % instead of 95). Processes that share a folder must have different ``--seeds``. It never
sees the test set. ``score`` scores all finished runs, on clear images too where there are some, and
writes the table to ``OUT/results.md``; ``OUT/scored.log`` says how often that was done.
``oracle/`` is the target as a labelled data set, which only the methods called oracle are given.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from adaptation_tables import FIRST, LAST, Rows, counted, table, titled, with_means

from dmaskrcnn import evaluate
from dmaskrcnn.evaluation.evaluate import output_folders
from dmaskrcnn.evaluation.labelled import open_shared_test_set
from dmaskrcnn.evaluation.sized_set import SIZES, Size
from dmaskrcnn.run import Run

HAZE = ["--haze-augment", "0.5"]
# after a method's name: its finished run, whose norms are adapted; nothing more is trained
ADABN = "-adabn"
NORMS = ["--method", "source", "--iterations", "0", "--adabn", "0.5"]
MOSAIC = ["--mosaic", "0.5"]
ADAPT = ["--method", "teacher", "--teacher-dehaze", "dark-channel", *HAZE, *MOSAIC]
# a second round, from the finished run of the other: as before, or with labels of its own
SECOND = {"adapt-again": "adapt", "adapt-self": "adapt", "adapt-labels-self": "adapt-labels"}
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
    # `dmaskrcnn adapt` since mosaics are part of it, and what else was tried with them
    "source-mosaic": ["--method", "source", *MOSAIC],
    "haze-mosaic": ["--method", "source", *HAZE, *MOSAIC],
    "adapt": ADAPT,
    "adapt-plain": ["--method", "teacher", *HAZE, *MOSAIC],
    "adapt-quarter": [*ADAPT, "--haze-augment", "0.25"],
    "adapt-slow": [*ADAPT, "--teacher-ema", "0.995"],
    # of the preset demo: half as many hazy pictures; as many clear ones as `source` has
    "adapt-half": [*ADAPT, "--target-batch", "4"],
    "adapt-clear": [*ADAPT, "--batch", "12", "--target-batch", "4", "--haze-augment", "0.3333"],
    "adapt-sizes": [*ADAPT, "--multi-scale", "0.8", "1.5"],
    "adapt-labeller": [*ADAPT, "--labeller", "train", "--labeller-share", "0.5"],
    # of another detector: --labels
    "adapt-labels": ADAPT,
    "adapt-labels-alone": [*ADAPT, "--trust", "labels"],
    "adapt-again": [*ADAPT, "--burn-in", "0"],
    "adapt-self": [*ADAPT, "--burn-in", "0", "--trust", "labels"],
    "adapt-labels-self": [*ADAPT, "--burn-in", "0", "--trust", "labels"],
    "oracle": ["--method", "oracle"],
    "oracle-haze": ["--method", "oracle", *HAZE],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train")
    training.add_argument("--source", nargs="+", required=True, help="labelled clear images")
    training.add_argument("--target", nargs="+", required=True, help="unlabelled hazy images")
    training.add_argument("--oracle", nargs="+", help="the same images with labels")
    training.add_argument("--labels", help="results of another detector on the target")
    training.add_argument("--labeller", help="a run that labels, instead of one trained each time")
    training.add_argument("--self-size", type=int, default=480, help="px: at which -self labels")
    training.add_argument(
        "--options", default="", help="of all trainings, in quotes, above the methods' own"
    )
    training.add_argument("--minutes-each", type=float, help="of each, instead of --iterations")
    training.add_argument("--weights", default="imagenet", help="start of the start")
    training.add_argument("--preset", default="cpu")
    training.add_argument("--burn-in", type=int, default=2000, help="iterations of the start")
    training.add_argument("--iterations", type=int, default=450, help="of each, from the start")
    methods = ["source", "haze", "teacher-haze", "oracle", "oracle-haze"]
    training.add_argument("--methods", nargs="+", default=methods, choices=METHODS)
    training.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    minutes = training.add_argument("--minutes", type=float, default=float("inf"))
    minutes.help = "begin no run that would end later"
    scoring = verbs.add_parser("score")
    scoring.add_argument("--test", type=Path, nargs="+", required=True, help="labelled hazy images")
    scoring.add_argument("--clear", type=Path, nargs="+", help="labelled clear images")
    scoring.add_argument("--groups", default="", help="of test images, see `dmaskrcnn evaluate`")
    scoring.add_argument(
        "--against", default=FIRST, choices=METHODS, help="what the differences are to"
    )
    scoring.add_argument("--image-size", type=int, default=0, help="px; default: as trained")
    scoring.add_argument(
        "--by-size", action="store_true", help="also of small, medium and large objects (COCO's)"
    )
    for verb in (training, scoring):
        verb.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train(args) if args.verb == "train" else score(args)


# --- training -------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> None:
    began = time.monotonic()
    common = ["--preset", args.preset, "--source", *args.source, "--out", str(args.out)]
    words = shlex.split(args.options)
    for seed, method in itertools.product(args.seeds, args.methods):
        start = ["--weights", args.weights, "--iterations", str(args.burn_in)]
        name = f"start-seed{seed}"
        run(args.out, name, [*common, *METHODS["source"], *words, *start, "--seed", str(seed)])
        first = args.out / f"{SECOND[method]}-seed{seed}-1" if method in SECOND else None
        if first and not Run(first).finished:
            sys.exit(f"{method} begins from {first}, which is not trained: give its method first")
        from_start = ["--weights", str(first or args.out / f"{name}-1")]
        length = ["--minutes", str(args.minutes_each)] if args.minutes_each else []
        from_start += length or ["--iterations", str(args.iterations)]
        base = method.removesuffix(ADABN)
        trained = args.out / f"{base}-seed{seed}-1"
        left = args.minutes - (time.monotonic() - began) / 60
        if not Run(trained).finished and expected_minutes(args.out, base) > left:
            print(
                f"{method} {seed}: left for another time, {left:.0f} minutes are not enough",
                flush=True,
            )
            continue
        options = [*common, *METHODS[base], *words, *from_start, "--seed", str(seed)]
        if base.startswith(LAST):
            if args.oracle is None:
                sys.exit(f"{method} needs --oracle: the target as a labelled data set")
            options += ["--target", *args.oracle]
        elif "source" not in METHODS[base]:
            options += ["--target", *args.target]
        if "-labels" in base:
            if args.labels is None:
                sys.exit(f"{method} needs --labels: COCO results of another detector on the target")
            options += ["--pseudo-labels", args.labels]
        if method.endswith("-self"):
            options += ["--labeller", f"{first}@{args.self_size}"]
        if args.labeller and "--labeller" in options:
            options[options.index("--labeller") + 1] = args.labeller.replace("SEED", str(seed))
        run(args.out, f"{base}-seed{seed}", options)
        if method != base:
            options = [*METHODS[method], "--weights", str(trained), "--target", *args.target]
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
    runs = finished_runs(args.out, args.image_size)
    first = args.against
    if first not in runs:
        sys.exit(f"{args.out}: no finished run of {first}, to which others are compared")
    timed = [m for m in runs if timings(args.out, m) and timings(args.out, first)]
    costs = {method: cost(args.out, method) / cost(args.out, first) for method in timed}
    with (args.out / "scored.log").open("a") as log:
        sets = map(str, [*args.test, *(args.clear or ())])
        log.write(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} {' '.join(sets)}: ")
        log.write(", ".join(runs) + "\n")
    tables = []
    for name, size in ({"": None} | (SIZES if args.by_size else {})).items():
        hazy = score_runs(runs, args.test, args.groups, size=size)
        scores = next(iter(hazy[first].values()))
        names = counted(scores)
        clear = score_runs(runs, args.clear, args.groups, names, size) if args.clear else {}
        for metric, title in titled(scores, names, name).items():
            tables.append(table(hazy, metric, title, first, clear, costs).markdown())
    text = "\n\n".join(tables)
    name = f"results-{args.image_size}.md" if args.image_size else "results.md"
    (args.out / name).write_text(text + "\n")
    print(text)


def finished_runs(out: Path, image_size: int) -> dict[str, dict[int, Run]]:
    """By method and seed, in the order of the methods."""
    runs: dict[str, dict[int, Run]] = {}
    for method in METHODS:
        for trained in map(Run, sorted(out.glob(f"{method}-seed*-1"))):
            if trained.finished:
                seed = int(trained.name.split("-seed")[1].split("-")[0])
                runs.setdefault(method, {})[seed] = Run(trained.path, image_size)
    return runs


def score_runs(
    runs: dict[str, dict[int, Run]],
    test: list[Path],
    groups: str,
    names: Iterable[str] = (),
    size: Size | None = None,
) -> Rows:
    """From the predictions of an earlier time, where no other weights came since. Means are over
    the classes ``names``, by default over those with objects enough; ``size``: see `SizedSet`."""
    every = [trained for by_seed in runs.values() for trained in by_seed.values()]
    opened = open_shared_test_set(every, test, groups=groups)
    scores: Rows = {}
    for method, by_seed in runs.items():
        for seed, trained in by_seed.items():
            (kept,) = output_folders([trained], test, None)
            assert kept is not None
            found, weights = kept / "predictions.json", trained.path / "model.safetensors"
            made = found.stat().st_mtime if found.exists() else 0.0
            since = weights.stat().st_mtime if weights.exists() else 0.0
            if made > since:
                scored = evaluate(found, opened, size=size)
            else:
                scored = evaluate(trained, opened, results=found, size=size)
            scores.setdefault(method, {})[seed] = with_means(scored, names or counted(scored))
    return scores


if __name__ == "__main__":
    main()
