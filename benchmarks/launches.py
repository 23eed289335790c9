"""Count what a training step asks a GPU for, part by part, without a GPU.

    python benchmarks/launches.py                      # source and teacher, batch 4, R50-FPN
    python benchmarks/launches.py --methods source --operations 20
    python benchmarks/launches.py --tiny               # seconds, for CI

A step runs on the CPU in bfloat16, with the code that a GPU runs where the two differ, and a
dispatch mode counts its operations: those that compute, but no views, and no memory alone. Each
is at least one kernel (a sort, a topk or a convolution are several), and each costs Python and the
driver the same few microseconds whatever the size of the pictures, which are small here.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import train_step
from torch.utils._python_dispatch import TorchDispatchMode

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import transport
from dmaskrcnn.data.sample import Batch
from dmaskrcnn.data.transport import pack, unpack
from dmaskrcnn.detector import nms, rpn
from dmaskrcnn.evaluation.text import Table
from dmaskrcnn.methods.parts import detection
from dmaskrcnn.training.learner import build, follow

# ask for memory, or for nothing
FREE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias")
FREE += ("lift_fresh", "_unsafe_view", "_reshape_alias", "set_", "is_same_size")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=["source", "teacher"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--operations", type=int, default=0, help="also the most frequent ones")
    parser.add_argument("--tiny", action="store_true", help="batch 1")
    args = parser.parse_args()
    batch = 1 if args.tiny else args.batch
    counts = {method: count(method, batch) for method in args.methods}
    parts = dict.fromkeys(part for of_one in counts.values() for part, _ in of_one)
    rows = [
        [part, *(str(sum(n for (p, _), n in c.items() if p == part)) for c in counts.values())]
        for part in parts
    ]
    rows.append(["all", *(str(sum(c.values())) for c in counts.values())])
    print(Table([[f"operations, batch {batch}", *counts], *rows]).markdown())
    for method, of_one in counts.items():
        for (part, name), number in of_one.most_common(args.operations):
            print(f"{method}: {number:5d}  {name} ({part})")


class Counting(TorchDispatchMode):
    """Counts operations.

    Attributes:
        part: of the step, which is going on.
        seen: numbers by part and operation.
        products: dtypes of convolutions and matrix products.
    """

    def __init__(self) -> None:
        super().__init__()
        self.part = "the rest"
        self.seen: Counter[tuple[str, str]] = Counter()
        self.products: Counter[torch.dtype] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        view = any(
            r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns
        )
        if not view and name not in FREE:
            self.seen[self.part, name] += 1
        if name in ("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm"):
            self.products[args[1].dtype] += 1
        return func(*args, **(kwargs or {}))

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Name the part that goes on; inner ones win."""
        outer, self.part = self.part, part
        try:
            yield
        finally:
            self.part = outer

    def watch(self, stack: ExitStack, owner: Any, method: str, part: str) -> None:
        """Let calls of a method be this part."""
        usual: Callable[..., Any] = getattr(owner, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.within(part):
                return usual(*args, **kwargs)

        stack.enter_context(patch.object(owner, method, watched))


def count(method: str, batch: int, size: int = 128) -> Counter[tuple[str, str]]:
    """Operations of one step by part and name."""
    return counted(method, batch, size).seen


def counted(method: str, batch: int, size: int = 128, **options: Any) -> Counting:
    """One step of a method, after one that makes what is made once."""
    targets = (Path(),) if method != "source" else ()
    # nothing is downloaded; with frozen norms, as from COCO, but all stages learn
    start = {"weights": "scratch", "norm": "frozen"}
    options = {"image_size": size, "max_size": size, "precision": "bf16"} | start | options
    config = TrainConfig.from_preset(method=method, target=targets, **options)
    learner, average = build(config, train_step.CLASSES, torch.device("cpu"))
    detector = learner.detector
    if config.detector.backbone == "resnet50":
        for one in (detector, average):
            if one is not None:  # weights whose activations keep a sane range
                one.load_state_dict(train_step.stock_model(size).state_dict())
    optimizer = learner.optimizer(config)
    samples = [train_step.synthetic_sample(size, seed) for seed in range(2 * batch)]
    hazy = [replace(sample, objects=None) for sample in samples[batch:]]
    packed = pack(Batch(samples[:batch], hazy if targets else []))
    counting = Counting()

    def step() -> None:
        with counting.within("batch to the device"):
            given = unpack(packed)
        optimizer.zero_grad(set_to_none=True)
        total = learner(given, 0.5).total()
        with counting.within("backward"):
            total.backward()
        with counting.within("clip"):
            learner.clip(config)
        with counting.within("optimiser"):
            optimizer.step()
        with counting.within("average"):
            if average is not None:
                follow(average, detector, config.ema)

    step()
    with ExitStack() as stack:
        for one, whose in ((detector, ""), (average, "teacher: ")):
            if one is not None:
                _watch(counting, stack, one, whose)
        stack.enter_context(_as_on_a_gpu())
        stack.enter_context(counting)
        step()
    return counting


def _watch(counting: Counting, stack: ExitStack, detector: Any, whose: str) -> None:
    for owner, method, part in (
        (detector, "normalise", "normalise and pad"),
        (detector, "features", "folding of norms"),
        (detector.backbone.body, "forward", "backbone"),
        (detector.backbone.fpn, "forward", "pyramid"),
        (detector.rpn, "outputs", "RPN head"),
        (detector.rpn, "_losses", "RPN losses"),
        (detector.rpn, "select", "anchors: matching, sampling"),
        (detector.rpn, "propose", "proposals and their suppression"),
        (detector.roi_heads, "losses", "box losses"),
        (detector.roi_heads, "select", "RoIs: matching, sampling"),
        (detector.roi_heads.box_roi_pool, "forward", "RoIAlign, boxes"),
        (detector.roi_heads, "box_outputs", "box head"),
        (detector.roi_heads.mask_roi_pool, "forward", "RoIAlign, masks"),
        (detector.roi_heads, "mask_outputs", "mask head"),
        (detector.roi_heads, "_mask_loss", "mask loss"),
        (detector.roi_heads, "confident", "detections"),
    ):
        counting.watch(stack, owner, method, whose + part)


@contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """The code that a GPU runs, where it is not the CPU's."""
    with ExitStack() as stack:
        for module in (nms, rpn):
            stack.enter_context(patch.object(module, "one_by_one", lambda device: False))
        stack.enter_context(patch.object(detection, "one_pass", lambda detector, batch: True))
        stack.enter_context(patch.object(transport, "unpacked_bits", transport.shifted_bits))
        yield


if __name__ == "__main__":
    sys.exit(main())
