"""Everything that only a GPU can show, in one run of a few minutes and one table.

    python benchmarks/gpu.py                        # R50-FPN at 800 px, batches of 4 and 16
    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu --tiny    # what the tests run; so it does without a GPU

Rows, the most wanted ones first, each on standard error as soon as it is there: a training step
against stock torchvision's (`train_step.py`, which see); a real training, loading included, against
its own steps on one batch, and where its time goes; `evaluate` and `predict` with scoring and
writing; losses and predictions of the same weights on GPU and CPU; two trainings on one GPU;
gradients exchanged.

The pictures are noise with elliptic objects, 640 x 480 px as COCO's, written as JPEG with polygons.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import train_step
from ellipses import write_pictures
from real_training import config_of, profile, timed, training
from two_processes import exchange, sharing

from dmaskrcnn.evaluation.text import Table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="cuda, cpu, ...")
    parser.add_argument("--size", type=int, default=800, help="short side, px")
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each variant")
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--workers", type=int, default=-1, help="loading processes")
    parser.add_argument("--tiny", action="store_true", help="two pictures of 96 px, a step")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    from dmaskrcnn.device import resolve_device

    args.device = resolve_device(args.device).type
    if args.device == "cpu" and not args.tiny:
        print("no GPU here: a tiny run on the CPU, which shows that it runs and no more")
    if args.device == "cpu":
        args.size, args.batches, args.steps, args.pictures = 96, [1], 1, 2
        args.tiny = True
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for part in args.parts:
            began = time.monotonic()
            found = PARTS[part](args, Path(scratch))
            rows += found
            said = [f"{part}: {time.monotonic() - began:.0f} s", *(" | ".join(r) for r in found)]
            print("\n".join(said), file=sys.stderr, flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(train_step.describe(args.device))
    print(Table([["what", "figure", "beside"], *rows]).markdown())


# --- parity ---------------------------------------------------------------------------------------


def parity(args: argparse.Namespace, scratch: Path) -> list[list[str]]:
    """The same weights, images and seeds in float32 on the CPU and on the device."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    samples = [train_step.synthetic_sample(96 if args.tiny else 320, seed) for seed in range(2)]
    losses, found = zip(*(_losses_and_boxes(d, samples) for d in ("cpu", args.device)), strict=True)
    worst = max(abs(losses[1][k] / v - 1) for k, v in losses[0].items())
    torch.backends.cudnn.allow_tf32 = True
    boxes = [one.boxes.double() for one in found]
    same = len(boxes[0]) == len(boxes[1]) > 0
    apart = f"{(boxes[0] - boxes[1]).abs().max():.1e} px" if same else "other objects"
    return [
        ["losses, CPU and device: largest relative difference", f"{worst:.1e}", "float32"],
        [f"predictions, likewise: {len(boxes[0])} and {len(boxes[1])} boxes", apart, "float32"],
    ]


def _losses_and_boxes(device: str, samples: list[Any]) -> tuple[dict[str, float], Any]:
    import torch

    from dmaskrcnn.data.sample import Batch
    from dmaskrcnn.detector.detector import Detector

    size = samples[0].image.shape[-1]
    config = config_of(Path(), size, 2, 1, 0, device)
    detector = Detector(train_step.CLASSES, config.detector)
    detector.load_state_dict(train_step.stock_model(size).state_dict())
    with torch.no_grad():  # sure of itself, so that rounding changes no order
        generator = torch.Generator().manual_seed(0)
        detector.roi_heads.box_predictor.cls_score.weight.normal_(std=2, generator=generator)
    detector = detector.to(device).set_precision("float32").train()
    with torch.no_grad():
        losses = config.settings.build(detector).losses(Batch(samples), 0.5).detection
    found = detector.eval().predict(samples[0].image, threshold=0.3)
    return {name: float(value) for name, value in losses.items()}, found


# --- steps ----------------------------------------------------------------------------------------


def steps(args: argparse.Namespace, scratch: Path) -> list[list[str]]:
    """Steps of every batch size, beside stock torchvision's in turn."""
    rows = []
    for number, batch in enumerate(args.batches):
        variants = ("torchvision", "source", *(("grl", "teacher") if number == 0 else ()))
        options = {"size": args.size, "batch": batch, "device": args.device, "steps": args.steps}
        results = train_step.measure(argparse.Namespace(**options, variants=variants))
        seconds, processor = results["seconds"], results["cpu_seconds"]
        for name in variants:
            against = "torchvision" if name == "source" else "source"
            if name == "torchvision":
                beside = ""
            elif name == "source":
                beside = f"{_ratio(seconds[against], seconds[name])} times torchvision's speed"
            else:
                beside = f"{_ratio(seconds[name], seconds[against])} times a source step"
            memory = results["peak_memory"][name] / 2**30
            middle = statistics.median(seconds[name])
            figure = (
                f"{middle * 1e3:.0f} ms ({min(seconds[name]) * 1e3:.0f} to "
                f"{max(seconds[name]) * 1e3:.0f}), {batch / middle:.1f} images/s, processor "
                f"{statistics.median(processor[name]) * 1e3:.0f} ms, {memory:.1f} GiB"
            )
            rows.append([f"{name} step, batch {batch}", figure, beside])
    return rows


def _ratio(above: list[float], below: list[float]) -> str:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


# --- predictions ----------------------------------------------------------------------------------


def predicting(args: argparse.Namespace, scratch: Path) -> list[list[str]]:
    """`evaluate`, `predict` and the network alone."""
    import torch

    from dmaskrcnn.detector.detector import Detector
    from dmaskrcnn.evaluation.evaluate import evaluate
    from dmaskrcnn.images.predict import predict_images

    file = write_pictures(scratch / "data", args.pictures)
    config = config_of(file, args.size, 1, 1, 0, args.device)
    detector = Detector([f"class {i}" for i in range(6)], config.detector)
    detector = detector.to(args.device).eval().set_precision("auto")
    images = [train_step.synthetic_sample(args.size, 0).image] * (1 if args.tiny else 8)
    detector.predict(images)
    rounds = 1 if args.tiny else 3
    alone = len(images) / min(timed(lambda: detector.predict(images)) for _ in range(rounds))
    scored = args.pictures / timed(lambda: evaluate(detector, file, bootstrap=0))
    out = scratch / "found"
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    written = args.pictures / timed(
        lambda: predict_images(detector, [file.parent / "images"], out, progress=False)
    )
    memory = train_step.peak_memory(torch.device(args.device)) / 2**30
    return [
        [
            f"network and boxes alone, {len(images)} pictures from memory",
            f"{alone:.1f} images/s",
            f"peak of this and the next two {memory:.1f} GiB",
        ],
        ["evaluate, reading and scoring included", f"{scored:.1f} images/s", ""],
        ["predict, reading, drawing and writing included", f"{written:.1f} images/s", ""],
    ]


# Most wanted first: whoever runs out of time has what was asked for most.
PARTS: dict[str, Callable[[argparse.Namespace, Path], list[list[str]]]] = {
    "steps": steps,
    "training": training,
    "profile": profile,
    "predicting": predicting,
    "parity": parity,
    "sharing": lambda args, scratch: sharing(args),
    "exchange": lambda args, scratch: exchange(args),
}

if __name__ == "__main__":
    main()
