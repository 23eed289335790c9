"""Batches that a GPU's memory does not hold are taken in parts: losses and gradients as with
``--accumulate``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from tqdm import tqdm

from dmaskrcnn.data import Batch
from dmaskrcnn.distributed import rank, world_size

T = TypeVar("T")


class Parts:
    """In how many parts a batch is taken: one, until memory runs out."""

    def __init__(self) -> None:
        self.count = 1

    def fitting(self, batches: Sequence[Batch], work: Callable[[list[Batch]], T]) -> T:
        """``work`` on the batches in parts of equal size, as few as memory holds.

        Raises:
            torch.OutOfMemoryError: there is no smaller part, or one of several processes alone
                would take another way than the others.
        """
        while True:
            try:
                return work([part for batch in batches for part in split(batch, self.count)])
            except torch.OutOfMemoryError:
                sizes = {len(d) for batch in batches for d in (batch.source, batch.target) if d}
                shared = math.gcd(*sizes)
                more = next((n for n in range(self.count + 1, shared + 1) if shared % n == 0), 0)
                if not more or world_size() > 1:
                    raise
            # outside of the handler, whose error holds on to what filled the memory
            self.count = more
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if rank() == 0:
                tqdm.write(
                    f"out of memory: each batch is taken in {more} parts from now on, as with "
                    f"--accumulate {more * len(batches)}; the result is that of the whole batch, "
                    "but that masks count by part",
                    file=sys.stderr,
                )


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in parts of equal numbers of source and of target images."""
    first, second = (len(domain) // parts for domain in (batch.source, batch.target))
    return [
        Batch(
            batch.source[i * first : (i + 1) * first],
            batch.target[i * second : (i + 1) * second],
            batch.broken if i == 0 else [],
        )
        for i in range(parts)
    ]
