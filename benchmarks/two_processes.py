"""Two processes and a device: two trainings that share it, and one training whose gradients are
exchanged. Rows of `gpu.py`, which see."""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import train_step
from real_training import timed


def sharing(args: argparse.Namespace) -> list[list[str]]:
    """Two trainings side by side on the device, and one alone."""
    command = [sys.executable, train_step.__file__, "--worker=source", *_options(args)]
    times = []
    for count in (1, 2):
        with _workers(command, count) as ask:
            for _ in range(3):
                ask()
            times.append(statistics.median(timed(ask) for _ in range(args.steps)))
    gain = 2 * times[0] / times[1]
    said = f"{times[1] * 1e3:.0f} ms for a step of each, {times[0] * 1e3:.0f} ms alone"
    return [["two trainings on one device", said, f"{gain:.2f} times the images of one"]]


def exchange(args: argparse.Namespace) -> list[list[str]]:
    """A step that exchanges its gradients as under torchrun: between as many GPUs as there are, up
    to two; of a single GPU NCCL takes one process, which exchanges with itself."""
    import torch

    count = min(2, torch.cuda.device_count()) if args.device == "cuda" else 2
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    command = [sys.executable, __file__, *_options(args), f"--steps={args.steps}"]
    pipe: Any = {"stdout": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(i)}, **pipe)
        for i in range(count)
    ]
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a process of the exchange ended; its error is above")
    alone, together = json.loads(said[0].splitlines()[-1])
    backend = "gloo and NCCL" if args.device == "cuda" else "gloo"
    return [
        [
            f"source step, gradients exchanged ({backend}, {count} processes)",
            f"{together * 1e3:.0f} ms, {count * args.batches[0] / together:.1f} images/s",
            f"{alone / together:.2f} of the speed without",
        ]
    ]


def main() -> None:
    """One process of `exchange`: the median seconds of a step without and with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("size", "batch", "steps"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--device")
    args = parser.parse_args()
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    on_gpu, own = args.device == "cuda", int(os.environ["RANK"])
    device = torch.device("cuda", own) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)

    def seconds(wrap: Callable[[Any], Any] | None = None) -> float:
        step = train_step.build_step("source", args.size, args.batch, device, wrap)

        def waited_for() -> None:
            step()
            if on_gpu:
                torch.cuda.synchronize(device)

        for _ in range(min(2, args.steps)):
            waited_for()
        return statistics.median(timed(waited_for) for _ in range(args.steps))

    alone = seconds()
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    together = seconds(lambda model: DistributedDataParallel(model, broadcast_buffers=False))
    dist.destroy_process_group()
    print(json.dumps([alone, together]))


def _options(args: argparse.Namespace) -> list[str]:
    return [f"--size={args.size}", f"--batch={args.batches[0]}", f"--device={args.device}"]


@contextmanager
def _workers(command: list[str], count: int) -> Iterator[Callable[[], None]]:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(count)]

    def ask() -> None:
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("step\n")
            worker.stdin.flush()
        for worker in workers:
            assert worker.stdout is not None
            if not worker.stdout.readline():
                raise SystemExit("a worker ended; its error is above")

    try:
        yield ask
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


if __name__ == "__main__":
    main()
