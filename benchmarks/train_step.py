"""Time a training step of this project against stock torchvision, of the same architecture, weights
and sampling, in one run.

    uv run python benchmarks/train_step.py  # R50-FPN, 512 px, 2 images: about 3 minutes
    uv run python benchmarks/train_step.py --size 128 --batch 1 --steps 2  # a tiny run
    uv run python benchmarks/train_step.py --device cuda --batch 8 --size 800 --markdown step.md

Every variant lives in a process of its own, which gives its peak memory; the parent lets them take
one step each in turn, so that whatever else the machine does hits all alike. Variants:

- ``torchvision``: ``torchvision.models.detection.MaskRCNN`` in float32, frozen batch norm, its
  default three trainable stages
- ``source``: our step, in mixed precision where the hardware has bfloat16
- ``source-float32``: our step in float32: what is left without the hardware
- ``floor``: ``source``, then forward and backward of backbone and FPN on as many target images: the
  least ``grl`` can cost
- ``grl``: our DMask R-CNN step on as many source as target images
- ``teacher``: our mean-teacher step on as many source as target images, the teacher's part included

The optimiser (SGD with momentum) is the same for all; loading, augmentation, gradient clipping and
EMA take no part. The images are noise and the weights random (the same for all), so fewer RoIs are
positive than late in training: about 25 of 512 per image. On a machine that others use too, compare
processor seconds with OMP_NUM_THREADS=1: waiting does not count there.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dmaskrcnn.evaluation.text import Table

VARIANTS = ("torchvision", "source", "source-float32", "floor", "grl", "teacher")
# Ratio of seconds per step and what it says.
RATIOS = (
    ("torchvision", "source", "speed-up of source over torchvision"),
    ("torchvision", "source-float32", "speed-up of source in float32 over torchvision"),
    ("grl", "floor", "grl step over its floor"),
    ("teacher", "source", "teacher step over source"),
)
# with background 91, as in torchvision's COCO models
CLASSES = tuple(f"class {i}" for i in range(90))
OBJECTS = 8  # per image; COCO has 7.3 on average


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="side of the square images in pixels")
    per_step = "source images per step, and as many target images"
    parser.add_argument("--batch", type=int, default=2, help=per_step)
    timed = "timed steps of each variant, after two to warm up"
    parser.add_argument("--steps", type=int, default=5, help=timed)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    results = measure(args)
    text = tables(results)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


# --- the parent -----------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every timed step per variant (of the clock, and of all cores), peak memory in
    bytes, and what it ran on."""
    shared = [f"--size={args.size}", f"--batch={args.batch}", f"--device={args.device}"]
    command = [sys.executable, __file__, *shared]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = {n: subprocess.Popen([*command, f"--worker={n}"], **pipes) for n in args.variants}

    def ask(name: str, question: str) -> Any:
        worker = workers[name]
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(question + "\n")
        worker.stdin.flush()
        if not (answer := worker.stdout.readline()):
            raise SystemExit(f"{name}: the worker ended; its error is above")
        return json.loads(answer)

    seconds: dict[str, list[float]] = {name: [] for name in workers}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for name in workers:  # waits until all are built
            ask(name, "memory")
        for step in range(-2, args.steps):
            for name in workers:
                wall, processor = ask(name, "step")
                if step >= 0:
                    seconds[name].append(wall)
                    cpu_seconds[name].append(processor)
            print(f"step {step + 1}/{args.steps}" if step >= 0 else "warming up", file=sys.stderr)
        memory = {name: ask(name, "memory") for name in workers}
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    shape = {"machine": describe(args.device), "size": args.size, "batch": args.batch}
    return {**shape, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_memory": memory}


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    seconds, cpu_seconds, batch = results["seconds"], results["cpu_seconds"], results["batch"]
    columns = ("s/step (median)", "min to max", "source images/s", "processor s/step (median)")
    steps = [["variant", *columns, "peak memory, GiB"]]
    for name, times in seconds.items():
        median, spread = statistics.median(times), f"{min(times):.3f} to {max(times):.3f}"
        processor, memory = statistics.median(cpu_seconds[name]), results["peak_memory"][name]
        speed = f"{batch / median:.2f}"
        cells = [name, f"{median:.3f}", spread, speed, f"{processor:.3f}", f"{memory / 2**30:.2f}"]
        steps.append(cells)
    ratios = [["ratio, step by step", "median", "min to max", "of processor seconds"]]
    for above, below, meaning in RATIOS:
        if above in seconds and below in seconds:
            wall, processor = (
                [a / b for a, b in zip(s[above], s[below], strict=True)]
                for s in (seconds, cpu_seconds)
            )
            middle, of_processor = statistics.median(wall), statistics.median(processor)
            spread = f"{min(wall):.2f} to {max(wall):.2f}"
            ratios.append([meaning, f"{middle:.2f}", spread, f"{of_processor:.2f}"])
    what = f"Mask R-CNN R50-FPN, {results['size']} px, {batch} source images per step"
    tables = (Table(steps).markdown(), Table(ratios).markdown())
    return "\n\n".join((f"{what}; {results['machine']}", *tables))


def describe(device: str) -> str:
    """Device, threads and versions in a line; in the parent, whose memory nobody measures."""
    import torch
    import torchvision

    from dmaskrcnn.report.provenance import hardware

    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    return f"{hardware(device)}, {torch.get_num_threads()} threads, {versions}"


# --- the workers ----------------------------------------------------------------------------------


def work(args: argparse.Namespace) -> None:
    """Answer the parent's questions, one JSON value per line."""
    import torch

    device = torch.device(args.device)
    step = build_step(args.worker, args.size, args.batch, device)

    def timed_step() -> tuple[float, float]:
        start, processor = time.perf_counter(), time.process_time()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start, time.process_time() - processor

    answers = {"step": timed_step, "memory": lambda: peak_memory(device)}
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


def build_step(
    variant: str, size: int, batch: int, device: Any, wrap: Callable[[Any], Any] | None = None
) -> Callable[[], None]:
    """One optimiser step of a variant as a function; ``wrap`` is given what learns."""
    import torch

    from dmaskrcnn.config.train import TrainConfig
    from dmaskrcnn.data.sample import Batch
    from dmaskrcnn.data.transport import pack, unpack
    from dmaskrcnn.detector.detector import Detector
    from dmaskrcnn.training.learner import Learner

    samples = [synthetic_sample(size, seed) for seed in range(2 * batch)]
    source, target = samples[:batch], samples[batch:]

    def optimizer_of(model: Any) -> torch.optim.Optimizer:
        trained = [p for p in model.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=1e-5, momentum=0.9, weight_decay=1e-4)

    if variant == "torchvision":
        stock = stock_model(size).to(device)
        optimizer = optimizer_of(stock)
        images = [(s.image / 255).to(device) for s in source]
        objects = [s.objects.to(device) for s in source if s.objects is not None]
        truth = [
            {"boxes": o.boxes, "labels": o.labels + 1, "masks": o.masks.to(torch.uint8)}
            for o in objects
        ]

        def stock_step() -> None:
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(stock(images, truth).values())).sum().backward()
            optimizer.step()

        return stock_step

    name = variant if variant in ("grl", "teacher") else "source"
    targets = (Path(),) if name != "source" else ()
    config = TrainConfig.from_preset(method=name, target=targets, image_size=size, max_size=size)
    detector = Detector(CLASSES, config.detector)
    detector.load_state_dict(stock_model(size).state_dict())
    method = config.settings.build(detector)
    learner = Learner(method).to(device).train()
    detector.set_precision("float32" if variant == "source-float32" else "auto")
    method.teacher = copy.deepcopy(detector).eval()
    optimizer = optimizer_of(learner)
    model = wrap(learner) if wrap else learner
    pairs = Batch(source, [replace(s, objects=None) for s in target] if name != "source" else [])
    # on a GPU as a training gets it, from pinned memory in one copy; torchvision's is there already
    block, layout = pack(pairs)
    packed = (block.pin_memory() if device.type == "cuda" else block, layout)
    floor = [s.image.to(device) for s in target]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        batch = unpack(packed, device) if device.type == "cuda" else pairs
        model(batch, 0.5).total().backward()
        if variant == "floor":
            features = detector.features(detector.normalise(floor))
            maps = [features[level.name] for level in detector.levels]
            torch.autograd.backward(maps, [torch.full_like(m, 1e-6) for m in maps])
        optimizer.step()

    return step


def stock_model(size: int) -> Any:
    """torchvision's Mask R-CNN R50-FPN with random weights that keep the activations in a sane
    range."""
    import torch
    from torchvision.models import resnet50
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
    from torchvision.ops import FrozenBatchNorm2d

    torch.manual_seed(0)
    network = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    # as small as in a trained network: at 1 the residual blocks double the variance 16 times
    for name, scale in network.named_buffers():
        if name.endswith("bn3.weight"):
            scale.fill_(0.2)
    backbone = _resnet_fpn_extractor(network, trainable_layers=3)
    return MaskRCNN(backbone, len(CLASSES) + 1, min_size=size, max_size=size).train()


def synthetic_sample(size: int, seed: int) -> Any:
    """A noise image with ``OBJECTS`` elliptic objects of a sixteenth to half of its side."""
    import torch

    from dmaskrcnn.data.sample import Annotations, Sample

    generator = torch.Generator().manual_seed(seed)
    extent = size * (1 / 16 + torch.rand(OBJECTS, 2, generator=generator) * 7 / 16)
    corner = torch.rand(OBJECTS, 2, generator=generator) * (size - extent)
    boxes = torch.cat([corner, corner + extent], dim=1)
    pixel = torch.arange(size) + 0.5
    centre, radius = (corner + extent / 2)[:, :, None], (extent / 2)[:, :, None]
    distance = ((pixel - centre) / radius) ** 2
    masks = distance[:, 1, :, None] + distance[:, 0, None, :] <= 1
    labels = torch.randint(len(CLASSES), (OBJECTS,), generator=generator)
    yes, no = torch.ones(OBJECTS, dtype=torch.bool), torch.zeros(OBJECTS, dtype=torch.bool)
    image = torch.randint(256, (3, size, size), dtype=torch.uint8, generator=generator)
    objects = Annotations(boxes, labels, masks, yes, no, no.clone())
    return Sample(image, Path(f"{seed}.png"), seed, objects, seed)


def peak_memory(device: Any) -> int:
    """Largest memory of this process so far in bytes: of the GPU's allocator, or resident."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


if __name__ == "__main__":
    main()
