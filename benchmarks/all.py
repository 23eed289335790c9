"""All comparisons with peers, each a benchmark of this folder, at a small size: one table.

    python benchmarks/all.py                        # a quarter of an hour on two cores
    python benchmarks/all.py --only step dehazing
    python benchmarks/all.py --tiny                 # a minute, of numbers that say nothing: for CI

Ours and the peer take turns in each. A ratio above 1: ours is so many times as fast as the
strongest peer that we know. One more comparison is one more line of ``COMPARISONS``.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dmaskrcnn.evaluation.text import Table

NUMBER = r"([\d.]+)"


@dataclass(frozen=True)
class Comparison:
    """A benchmark, and where it says how ours compares.

    Attributes:
        name: for ``--only``.
        what: is compared.
        peer: the strongest that we know.
        command: the words after ``python benchmarks/``.
        tiny: likewise, of a run of seconds; empty: `--tiny` leaves it out.
        ratio: a regular expression for what it prints, whose ``(…)`` is the ratio.
        of_seconds: the ratio is of ours in seconds to the peer's, and not of speeds.
    """

    name: str
    what: str
    peer: str
    command: str
    tiny: str
    ratio: str
    of_seconds: bool = False


STEP = "train_step.py --variants torchvision source source-float32 --size 320 --steps 3"
TINY_STEP = "train_step.py --variants torchvision source --size 64 --batch 1 --steps 1"
ONE = "inference.py --models r18 --variants torchvision float32"
OPENED = "large_data.py --share"
SCORED = "masks.py --parts scoring --images"
COMPARISONS = (
    Comparison(
        *("step", "training step, R50 at 320 px, mixed precision", "torchvision, float32"),
        *(STEP, TINY_STEP),
        rf"of source over torchvision \| {NUMBER}",
    ),
    Comparison(
        *("step", "training step, R50 at 320 px, float32", "torchvision, float32"),
        *(STEP, ""),
        rf"of source in float32 over torchvision \| {NUMBER}",
    ),
    Comparison(
        *("prediction", "a picture, R18 at 320 px, float32, one thread", "torchvision, float32"),
        *(ONE, f"{ONE} --tiny --rounds 1 --pictures 1 --size 64 96"),
        rf"\| float32 \|[^|]*\|[^|]*\| {NUMBER}",
    ),
    *(
        Comparison(
            *("dehazing", f"`{method}`, 640 × 480, one thread", peer),
            *("dehaze.py --threads 1", "dehaze.py --threads 1 --size 48 64 --rounds 1"),
            rf"\| {method} \|[^|]*\|[^|]*\|[^|]*\| {NUMBER}",
        )
        for method, peer in (
            ("dark-channel", "the usual script, OpenCV where it is installed, else SciPy"),
            ("mscnn", "its layers one by one, PyTorch"),
            ("aod-net", "its layers one by one, PyTorch"),
        )
    ),
    Comparison(
        *("labels", "open COCO JSON, a twentieth of train2017", "faster-coco-eval"),
        *(f"{OPENED} 0.05", f"{OPENED} 0.0001 --rounds 1"),
        rf"round by round \| {NUMBER}",
        of_seconds=True,
    ),
    *(
        Comparison(
            *("scoring", f"scoring boxes and masks in memory{more}", "faster-coco-eval"),
            *(f"{SCORED} 400", f"{SCORED} 8 --rounds 1 --tiny"),
            rf"in memory: dmaskrcnn{row} \|[^|]*\| {NUMBER}",
            of_seconds=True,
        )
        for row, more in (("", ""), (" with intervals", ", with 95 % intervals"))
    ),
    Comparison(
        *("cluster", "`predict --cluster` on the same cores, R18", "`predict`"),
        *("cluster.py --what predict --rounds 1", ""),
        rf"`predict --cluster`[^|]*\|[^|]*\|[^|]*\| {NUMBER}",
    ),
    Comparison(
        *("processes", "`train` on two processes, the same cores, R18", "one process"),
        *("cluster.py --what train --rounds 1", ""),
        rf"`train`[^|]*\|[^|]*\|[^|]*\| {NUMBER}",
    ),
)


def main() -> None:
    """Run what is asked for and print the table."""
    names = tuple(dict.fromkeys(one.name for one in COMPARISONS))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--tiny", action="store_true", help="seconds each, for CI")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    chosen = [one for one in COMPARISONS if one.name in arguments.only]
    if arguments.tiny:
        chosen = [one for one in chosen if one.tiny]
    text = table(chosen, arguments.tiny)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")


def table(chosen: list[Comparison], tiny: bool) -> str:
    """The comparisons as Markdown; a command that several share runs once."""
    rows = [["what", "strongest peer", "times as fast", "command"]]
    printed: dict[str, str] = {}
    for one in chosen:
        command = one.tiny if tiny else one.command
        if command not in printed:
            print(f"benchmarks/{command}", file=sys.stderr, flush=True)
            printed[command] = run(command)
        ratio = ratio_of(one, printed[command])
        rows.append([one.what, one.peer, f"{ratio:.2f}", f"`benchmarks/{command}`"])
    import torch

    cores = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"
    return f"{cores}\n\n{Table(rows).markdown()}"


def run(command: str) -> str:
    """What a benchmark prints."""
    file, *words = command.split()
    program = [sys.executable, str(Path(__file__).with_name(file)), *words]
    ran = subprocess.run(program, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"benchmarks/{command} failed:\n{ran.stderr}")
    return ran.stdout


def ratio_of(one: Comparison, printed: str) -> float:
    """How many times as fast ours is as the peer."""
    found = re.search(one.ratio, printed)
    if found is None:
        raise SystemExit(f"benchmarks/{one.command}: no {one.ratio} in\n{printed}")
    return 1 / float(found[1]) if one.of_seconds else float(found[1])


if __name__ == "__main__":
    main()
