"""A real training for `gpu.py`: its pictures are loaded as it goes. How fast it is beside its own
steps on one batch, and where its time goes."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipses import write_pictures

if TYPE_CHECKING:
    from dmaskrcnn.config.train import TrainConfig
    from dmaskrcnn.data import Batch
    from dmaskrcnn.training.feed import Feed
    from dmaskrcnn.training.progress import StopSignal
    from dmaskrcnn.training.state import TrainingState


def training(args: argparse.Namespace, scratch: Path) -> list[list[str]]:
    """Images a second with loading, and of the same steps on one batch; how long each waits for its
    batch, and what that costs this process's own thread."""
    from dmaskrcnn.data.transport import pack
    from dmaskrcnn.training.inputs import loading_processes, make_batches

    batch, count = args.batches[0], 1 if args.tiny else 3 * args.steps
    with real_training(args, scratch) as real:
        loading = [timed(real.step) for _ in range(count)]
        kept = real.take()
        alone = [timed(lambda: real.step(kept)) for _ in range(count)]
        waits, work = (1e3 * statistics.median(each[-count:]) for each in (real.waits, real.work))
    config = real.state.config
    loads = make_batches(config, real.state.source, None)
    some = range(1 if args.tiny else 8)
    one = len(some) * batch / sum(timed(lambda i=i: pack(loads[i])) for i in some)
    processes_there = loading_processes(config, real.state.device)
    speeds = [count * batch / sum(times) for times in (loading, alone)]
    return [
        [
            f"training, batch {batch}, loading included",
            f"{speeds[0]:.1f} images/s",
            f"{100 * speeds[0] / speeds[1]:.0f} % of its steps on one batch ({speeds[1]:.1f}); a "
            f"batch is waited for {waits:.1f} ms, of which this process works {work:.1f}",
        ],
        ["one loading process", f"{one:.1f} images/s", f"{processes_there} there"],
    ]


def profile(args: argparse.Namespace, scratch: Path) -> list[list[str]]:
    """Where the time of a real training's step goes, loading included: how long the device
    computes, and what this process asks it for and waits for. Without a GPU, operators alone."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    count = 1 if args.tiny else 10
    kinds = [ProfilerActivity.CPU]
    if args.device == "cuda":
        kinds.append(ProfilerActivity.CUDA)
    with real_training(args, scratch) as real, record(activities=kinds) as recorded:
        wall = sum(timed(real.step) for _ in range(count)) / count
    events = recorded.key_averages()
    busy = sum(event.self_device_time_total for event in events) / count / 1e6
    longest = sorted(events, key=lambda event: -event.self_cpu_time_total)
    asked = [event for event in longest if event.key.startswith("cuda")] or longest
    said = (
        f"{event.key} {event.count / count:.0f} times, "
        f"{event.self_cpu_time_total / count / 1e3:.1f} ms"
        for event in asked[:5]
    )
    return [
        [
            f"a step of it, profiled, batch {args.batches[0]}",
            f"{1e3 * wall:.0f} ms, device busy {1e3 * busy:.0f} ms",
            "; ".join(said),
        ]
    ]


@dataclass
class Real:
    """A training, loading included.

    Attributes:
        state: of it.
        feed: its batches.
        stop: of both.
        waits, work: of each step, seconds until its batch was there, and the processor seconds of
            this thread for that.
    """

    state: TrainingState
    feed: Feed
    stop: StopSignal
    waits: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)

    def take(self) -> list[Batch]:
        """The next batch."""
        return self.feed.take(self.state.schedule.phase(0.5), 0, self.stop)

    def step(self, batches: list[Batch] | None = None) -> None:
        """A step on these batches, or on the next ones."""
        from dmaskrcnn.training.loop import step

        if batches is None:
            began, processor = time.perf_counter(), time.thread_time()
            batches = self.take()
            self.waits.append(time.perf_counter() - began)
            self.work.append(time.thread_time() - processor)
        step(self.state, batches, self.state.schedule.phase(0.5), 0.5)


@contextmanager
def real_training(args: argparse.Namespace, scratch: Path) -> Iterator[Real]:
    """One that has met most paddings and sizes: each is slow the first time."""
    from dmaskrcnn.data import open_dataset
    from dmaskrcnn.distributed import processes
    from dmaskrcnn.training.feed import Feed
    from dmaskrcnn.training.progress import stop_signals
    from dmaskrcnn.training.state import TrainingState

    data = write_pictures(scratch / "data", args.pictures)
    config = config_of(data, args.size, args.batches[0], 100_000, args.workers, args.device)
    source = open_dataset(config.source[0])
    with processes(args.device) as device, stop_signals() as stop:
        state = TrainingState(config, source, None, device)
        state.enter(state.schedule.phase(0.5))
        feed = Feed(config, source, None, device, {})
        real = Real(state, feed, stop)
        try:
            for _ in range(1 if args.tiny else 20):
                real.step()
            yield real
        finally:
            feed.close()


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def config_of(
    source: Path, size: int, batch: int, iterations: int, workers: int, device: str
) -> TrainConfig:
    from dmaskrcnn.config.train import TrainConfig

    return TrainConfig.from_preset(
        method="source",
        source=source,
        weights="scratch",
        image_size=size,
        max_size=size * 5 // 3,
        batch=batch,
        iterations=iterations,
        lr=1e-6,
        workers=workers,
        device=device,
    )
