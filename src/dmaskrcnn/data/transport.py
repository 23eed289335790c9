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
    torch.bool: as bits, ``offset`` from the first of all that are so, which lie at the end."""

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
    end, bits = 0, 0

    def place(tensor: Tensor) -> _View:
        nonlocal end, bits
        packed = tensor.dtype == torch.bool
        view = _View(bits if packed else end, tuple(tensor.shape), tensor.dtype)
        after = -(-(view.offset + view.bytes) // _ALIGNMENT) * _ALIGNMENT
        bits, end = (after, end) if packed else (bits, after)
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
    block = torch.empty(end + bits, dtype=torch.uint8)
    for view, tensor in stored:
        if view.dtype == torch.bool:
            room = block[end + view.offset : end + view.offset + view.bytes]
            room.numpy()[:] = np.packbits(tensor.numpy())
        else:
            room = block[view.offset : view.offset + view.bytes]
            room.view(view.dtype).view(view.shape).copy_(tensor)
    return block, (layout, end, batch.broken)


def unpack(packed: tuple[Tensor, Any], device: torch.device | None = None) -> Batch:
    """The batch; its tensors are views into the block.

    Args:
        packed: from `pack`.
        device: where the batch is to be: a GPU gets it in one copy, of which nobody waits for the
            end where the block is in pinned memory. None: where it is.
    """
    block, (layout, end, broken) = packed
    if device is not None:
        block = block.to(device, non_blocking=True)
    flags = unpacked_bits(block[end:])

    def view(of: _View) -> Tensor:
        if of.offset < 0:
            return no_masks(*of.shape).to(block.device)  # pyright: ignore[reportCallIssue]
        if of.dtype == torch.bool:
            first = 8 * of.offset
            return flags[first : first + math.prod(of.shape)].view(of.shape)
        return block[of.offset : of.offset + of.bytes].view(of.dtype).view(of.shape)

    def restore(sample: tuple[Any, ...]) -> Sample:
        image, objects, weak, (path, image_id, seed) = sample
        annotations = None if objects is None else Annotations(*map(view, objects))
        return Sample(
            view(image),
            path,
            image_id,
            annotations,
            seed,
            None if weak is None else view(weak),
        )

    source, target = ([restore(sample) for sample in samples] for samples in layout)
    return Batch(source, target, broken)


def unpacked_bits(stored: Tensor) -> Tensor:
    """Eight bool of each byte, the highest bit first; on a GPU in three launches."""
    if stored.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(stored.numpy()).view(bool))
    return shifted_bits(stored)


def shifted_bits(stored: Tensor) -> Tensor:
    """`unpacked_bits` on any device."""
    places = torch.arange(8, dtype=torch.uint8, device=stored.device)
    return (stored[:, None] << places >= 128).flatten()
