"""The few things that one process must know of the others. Without torchrun everything here is a
no-op.

All of it waits for all processes, so that each must call it as often as the others: never behind a
condition on its own share of the data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dmaskrcnn.device import resolve_device
from dmaskrcnn.errors import UserError

T = TypeVar("T")
# what gloo says of it
_GONE = re.compile("Connection (closed|reset) by peer|Application timeout|gloo.*(peer|Timed out)")


def rank() -> int:
    """This process's number among all, 0 without torchrun."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes, 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def processes(device: str) -> Iterator[torch.device]:
    """Join the processes that torchrun started (if it did) and yield the device of this one:
    ``auto`` takes a GPU if there is one.

    Raises:
        UserError: another process has ended, and left this one waiting for it.
    """
    chosen = resolve_device(device)
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield chosen
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    # what the processes agree on stays on the CPU, where no GPU has to be waited for
    dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    except RuntimeError as error:
        if isinstance(error, dist.DistBackendError) or _GONE.search(str(error)):
            raise UserError(
                "another process of this training has ended; what it says above is the reason. "
                "torchrun --max-restarts 3 starts all again, from the last checkpoint"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


def average(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def largest(values: Tensor) -> Tensor:
    """The elementwise maximum of a tensor over all processes."""
    if world_size() > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


def gather(values: list[T]) -> list[T]:
    """The items of all processes, in the order of these."""
    lists = [values]
    if world_size() > 1:
        lists = [values] * world_size()
        dist.all_gather_object(lists, values)
    return [value for one in lists for value in one]


def broadcast_path(path: str) -> str:
    """Process 0's string, in every process."""
    box = [path]
    if world_size() > 1:
        dist.broadcast_object_list(box)
    return box[0]
