"""The few things that one process must know of the others. Without torchrun everything here is a
no-op.

All of it waits for all processes, so that each must call it as often as the others: never behind a
condition on its own share of the data.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from dmaskrcnn.device import resolve_device
from dmaskrcnn.errors import UserError

T = TypeVar("T")
_together = True  # whether the other processes are asked
# what gloo says of it
_GONE = re.compile("Connection (closed|reset) by peer|Application timeout|gloo.*(peer|Timed out)")
_PATIENCE = 600.0  # seconds for all processes to come: pictures may lie far away, and start it late


def rank() -> int:
    """This process's number among all, 0 without torchrun."""
    return dist.get_rank() if _together and dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes, 1 without torchrun."""
    return dist.get_world_size() if _together and dist.is_initialized() else 1


@contextmanager
def alone() -> Iterator[None]:
    """Within it this process computes as if there were no others."""
    global _together
    _together = False
    try:
        yield
    finally:
        _together = True


@contextmanager
def processes(device: str) -> Iterator[torch.device]:
    """Join the processes that torchrun started (if it did) and yield the device of this one:
    ``auto`` takes a GPU if there is one.

    Raises:
        UserError: another process has ended, and left this one waiting for it, or never came.
    """
    chosen = resolve_device(device)
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield chosen
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    _join("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
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


def _join(backend: str) -> None:
    """What the processes agree on stays on the CPU, where no GPU has to be waited for."""
    store, own, count = next(iter(rendezvous("env://")))
    fresh = PrefixStore(meet(store, own, count), store)
    dist.init_process_group(backend, store=fresh, rank=own, world_size=count)


def meet(store: Store, own: int, count: int, patience: float = _PATIENCE) -> str:
    """A name that the processes of this attempt share, and no earlier one.

    torchrun keeps one store for all of its attempts, and in it stand the addresses of processes
    that are gone: one that is quick finds them, and knocks where nobody is. So process 0 gives
    each of the others the name in answer to a word that nobody has said before.

    Args:
        store: of torchrun.
        own: this process's number.
        count: of processes.
        patience: seconds to wait for the others.

    Raises:
        UserError: another process did not come.
    """
    until = time.monotonic() + patience

    def wait_for(key: str) -> bool:
        if store.check([key]):
            return True
        if time.monotonic() > until:
            raise UserError(
                f"only some of the {count} processes of this training came within {patience:.0f} s;"
                " what they say above is the reason, or see that torchrun runs on every machine"
            )
        time.sleep(0.02)
        return False

    word = uuid.uuid4().hex
    if own > 0:
        store.set(f"word/{own}", word)
        while not wait_for(f"answer/{word}"):
            continue
        name = store.get(f"answer/{word}").decode()
        store.set(f"{name}/heard/{own}", "")
        return name
    missing = set(range(1, count))
    while missing:
        for other in sorted(missing):
            # again and again: the first one may be of a process that is gone
            if wait_for(f"word/{other}"):
                store.set(f"answer/{store.get(f'word/{other}').decode()}", word)
                if wait_for(f"{word}/heard/{other}"):
                    missing.remove(other)
    return word


def average(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes."""
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def of_all(values: Tensor) -> Tensor:
    """The tensors of all processes, in the order of these: a dimension more in front."""
    if world_size() == 1:
        return values[None]
    found = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(found, values.contiguous())
    return torch.stack(found)


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
