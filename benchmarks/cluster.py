"""More than one process, each time with the same cores: `predict --cluster` against `predict`, and
a training on two processes of torchrun against one process with two threads.

    python benchmarks/cluster.py                                  # R18 at 320 px: ten minutes
    python benchmarks/cluster.py --model r50 --pictures 40
    python benchmarks/cluster.py --what predict --model tiny --pictures 100000 --of-one 10000 \\
        --no-drawing --rounds 1
    python benchmarks/cluster.py --model tiny --pictures 60 --iterations 40 --rounds 1

Commands are started as a user starts them, in turn. Pictures per second are those of a job that
goes on for hours: the first quarter of the files that are written does not count. Training counts
from iteration 20, the first row of ``metrics.csv``, to the last. Memory is that of all processes of
the cluster's command, what several share counted once, by fifths of the time.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference import save_random

from dmaskrcnn.evaluation.text import Table

SIDES = {"tiny": (64, 96), "r18": (320, 427), "r50": (800, 1066)}  # of the synthetic pictures
DMASKRCNN = [sys.executable, "-m", "dmaskrcnn"]


def main() -> None:
    """Measure in turn, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", nargs="+", choices=("predict", "train"))
    parser.add_argument("--model", choices=SIDES, default="r18")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--of-one", type=int, help="pictures of the one process; default: the same")
    parser.add_argument("--actors", type=int, default=2, help="of one thread each")
    parser.add_argument("--no-drawing", action="store_true", help="no pictures from the cluster")
    parser.add_argument("--iterations", type=int, default=120, help="of each training")
    scratch = "train norms, too, whose statistics the processes exchange at every layer"
    parser.add_argument("--scratch", action="store_true", help=scratch)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    rows = [["pictures/s, on the same cores", "one process", "several", "ratio, round by round"]]
    memory = ""
    with tempfile.TemporaryDirectory() as scratch:
        for what in arguments.what or ("predict", "train"):
            measure = {"predict": predict, "train": train}[what]
            one, several = [], []
            for number in range(arguments.rounds):
                (folder := Path(scratch, what, str(number))).mkdir(parents=True)
                rates, said = measure(arguments, folder)
                one.append(rates[0])
                several.append(rates[1])
                memory = said or memory
            ratios = [b / a for a, b in zip(one, several, strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            middles = (f"{statistics.median(rates):.2f}" for rates in (one, several))
            ratio = f"{statistics.median(ratios):.2f} ({spread})"
            name = {"predict": f"`predict --cluster`, {arguments.actors} actors"}
            rows.append([name.get(what, "`train`, torchrun, 2 processes"), *middles, ratio])
    print(f"{arguments.model}, {arguments.pictures} pictures, {arguments.rounds} rounds\n")
    print(Table(rows).markdown())
    print(memory)


def predict(arguments: argparse.Namespace, folder: Path) -> tuple[tuple[float, float], str]:
    """Pictures per second of one process and of a cluster, and what it says of memory."""
    of_one = arguments.of_one or arguments.pictures
    run = folder / "run"
    save_random(arguments.model.replace("tiny", "r18"), run, arguments.model == "tiny")
    start = [*DMASKRCNN, "predict", str(run), "--device", "cpu"]
    threads = {**os.environ, "OMP_NUM_THREADS": str(arguments.actors)}
    inputs = pictures(arguments.model, of_one, folder / "of-one")
    plain = [*start, str(inputs), "--out", str(folder / "plain")]
    subprocess.run(plain, env=threads, stdout=subprocess.DEVNULL, check=True)
    inputs = pictures(arguments.model, arguments.pictures, folder / "pictures")
    words = [*start, str(inputs), "--out", str(folder / "found"), "--cluster", "--actors"]
    words += [str(arguments.actors), *([] if arguments.no_drawing else ["--pictures"])]
    kilobytes: list[int] = []
    threads["OMP_NUM_THREADS"] = "1"
    with subprocess.Popen(words, env=threads, stdout=subprocess.PIPE, text=True) as job:
        watcher = threading.Thread(target=watch, args=(job, kilobytes))
        watcher.start()
        watcher.join()
        if job.returncode:
            raise SystemExit("the job failed; its error is above")
    one = rate(list((folder / "plain").glob("*.jpg")), of_one)
    several = rate(list((folder / "found").glob("part-*")), arguments.pictures)
    parts = [kilobytes[len(kilobytes) * k // 5 :][: len(kilobytes) // 5 + 1] for k in range(5)]
    most = ", ".join(f"{max(part) / 1e6:.2f}" for part in parts)
    return (one, several), f"memory of the cluster's processes, GB, by fifths of the time: {most}"


def rate(files: list[Path], count: int) -> float:
    """Pictures per second of so many in files, from when a quarter of these was written."""
    written = sorted(file.stat().st_mtime for file in files)
    first = max(1, len(written) // 4)
    share = (len(written) - first) / len(written)
    return share * count / (written[-1] - written[first - 1])


def pictures(model: str, count: int, folder: Path) -> Path:
    """Rendered scenes as JPEGs; a few, under many names."""
    from PIL import Image

    from dmaskrcnn.demo import render_scene

    folder.mkdir()
    files = []
    for seed in range(min(20, count)):
        files.append(folder / f"scene-{seed:06d}.jpg")
        Image.fromarray(render_scene(seed, *SIDES[model]).image).save(files[-1])
    for number in range(len(files), count):
        os.link(files[number % len(files)], folder / f"scene-{number:06d}.jpg")
    return folder


def watch(job: subprocess.Popen[str], kilobytes: list[int]) -> None:
    """The memory of a program and all its children, every two seconds until it ends."""
    while job.poll() is None:
        kilobytes.append(sum(memory_of(pid) for pid in (job.pid, *children(job.pid))))
        time.sleep(2)


def children(pid: int) -> Iterator[int]:
    """The processes below one, of which Linux tells."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = list(map(int, task.read_text().split()))
        except OSError:  # it has ended
            continue
        for child in found:
            yield child
            yield from children(child)


def memory_of(pid: int) -> int:
    """Its memory in kB, of shared pages its part; 0 where it has ended."""
    try:
        pages = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"Pss:\s+(\d+) kB", pages)
    return int(found[1]) if found else 0


def train(arguments: argparse.Namespace, folder: Path) -> tuple[tuple[float, float], str]:
    """Source pictures per second of a training in one process, and in two."""
    from dmaskrcnn.demo import write_scenes

    sides = SIDES[arguments.model]
    data = write_scenes(folder / "scenes", 12, seed=1, size=sides)
    weights = "scratch" if arguments.scratch else random_backbone(arguments.model, folder)
    options = f"train --method source --source {data} --iterations {arguments.iterations}"
    options += f" --preset {'default' if arguments.model == 'r50' else 'cpu'} --weights {weights}"
    options += f" --batch 4 --warmup 2 --device cpu --out {folder} --image-size {sides[0]}"
    options += f" --workers 1 --max-size {sides[1]}"
    if arguments.model == "tiny":
        options += " --fpn-channels 16"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    programs: dict[str, tuple[list[str], str]] = {
        "one": (DMASKRCNN, "2"),
        "two": ([sys.executable, *torchrun, *DMASKRCNN[1:]], "1"),
    }
    rates = []
    for name, (program, threads) in programs.items():
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        words = [*program, *options.split(), "--name", name]
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
        rates.append(4 / seconds_per_iteration(folder / f"{name}-1" / "metrics.csv"))
    return (rates[0], rates[1]), ""


def random_backbone(model: str, folder: Path) -> Path:
    """As if it were of ImageNet: its norms stay as they are."""
    import torchvision
    from safetensors.torch import save_file

    network = {"r50": torchvision.models.resnet50}.get(model, torchvision.models.resnet18)
    weights = network().state_dict()
    save_file(weights, folder / "backbone.safetensors")
    return folder / "backbone.safetensors"


def seconds_per_iteration(metrics: Path) -> float:
    """From the first row to the last."""
    with metrics.open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    first, last = rows[0], rows[-1]
    steps = int(last["iteration"]) - int(first["iteration"])
    return (float(last["seconds"]) - float(first["seconds"])) / steps


if __name__ == "__main__":
    main()
