"""A batch as one block of memory: what a worker process hands over.

PyTorch passes each tensor between processes through a file handle of its own; seven per sample,
several batches ahead and many workers soon exceed the usual limit of 1024 open files. One block per
batch needs one handle, and one copy, to a GPU as well. Masks, most of a batch, travel as bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.sample import Annotations, Batch, Sample

_ALIGNMENT = 64  # bytes; as PyTorch's own allocator


@dataclass
class _View:
    """Where a tensor lies in the block; ``offset`` −1: all False and not stored. ``dtype``
    torch.bool: as bits."""

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Its length in the block."""
        count = math.prod(self.shape)
        return -(-count // 8) if self.dtype == torch.bool else count * self.dtype.itemsize


def pack(batch: Batch) -> tuple[Tensor, Any]:
    """The block, uint8, and the batch with each tensor replaced by its place in it."""
    stored: list[tuple[_View, Tensor]] = []
    end = 0

    def place(tensor: Tensor) -> _View:
        nonlocal end
        view = _View(end, tuple(tensor.shape), tensor.dtype)
        end = -(-(end + view.bytes) // _ALIGNMENT) * _ALIGNMENT
        stored.append((view, tensor))
        return view

    def place_sample(sample: Sample) -> tuple[Any, ...]:
        objects = None
        if sample.objects is not None:
            objects = [
                _View(-1, tuple(value.shape), value.dtype)
                if f.name == "masks" and not sample.objects.has_mask.any()
                else place(value)
                for f in fields(Annotations)
                if (value := getattr(sample.objects, f.name)) is not None
            ]
        weak = None if sample.weak is None else place(sample.weak)
        return place(sample.image), objects, weak, (sample.path, sample.image_id, sample.seed)

    layout = [
        [place_sample(sample) for sample in samples] for samples in (batch.source, batch.target)
    ]
    block = torch.empty(end, dtype=torch.uint8)
    for view, tensor in stored:
        room = block[view.offset : view.offset + view.bytes]
        if view.dtype == torch.bool:
            room.numpy()[:] = np.packbits(tensor.numpy())
        else:
            room.view(view.dtype).view(view.shape).copy_(tensor)
    return block, (layout, batch.broken)


def unpack(packed: tuple[Tensor, Any], device: torch.device | None = None) -> Batch:
    """The batch; its tensors are views into the block.

    Args:
        packed: from `pack`.
        device: where the batch is to be: a GPU gets it in one copy, of which nobody waits for the
            end where the block is in pinned memory. None: where it is.
    """
    block, (layout, broken) = packed
    if device is not None:
        block = block.to(device, non_blocking=True)

    def restore(sample: tuple[Any, ...]) -> Sample:
        image, objects, weak, (path, image_id, seed) = sample
        annotations = (
            None if objects is None else Annotations(*(_view(block, view) for view in objects))
        )
        return Sample(
            _view(block, image),
            path,
            image_id,
            annotations,
            seed,
            None if weak is None else _view(block, weak),
        )

    source, target = ([restore(sample) for sample in samples] for samples in layout)
    return Batch(source, target, broken)


def _view(block: Tensor, view: _View) -> Tensor:
    if view.offset < 0:
        return no_masks(*view.shape).to(block.device)  # pyright: ignore[reportCallIssue]
    stored = block[view.offset : view.offset + view.bytes]
    if view.dtype != torch.bool:
        return stored.view(view.dtype).view(view.shape)
    count = math.prod(view.shape)
    if block.device.type == "cpu":
        bits = np.unpackbits(stored.numpy(), count=count).view(bool)
        return torch.from_numpy(bits).view(view.shape)
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=block.device)
    return (stored[:, None] >> places & 1).flatten()[:count].bool().view(view.shape)
