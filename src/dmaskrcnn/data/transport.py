"""A batch as one block of memory: what a worker process hands over.

PyTorch passes each tensor between processes through a file handle of its own; seven per sample,
several batches ahead and many workers soon exceed the usual limit of 1024 open files. One block per
batch needs one handle, and one copy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.sample import Annotations, Batch, Sample

_ALIGNMENT = 64  # bytes; as PyTorch's own allocator


@dataclass
class _View:
    """Where a tensor lies in the block; ``offset`` −1: all False and not stored."""

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype


def pack(batch: Batch) -> tuple[Tensor, Any]:
    """The block, uint8, and the batch with each tensor replaced by its place in it."""
    stored: list[tuple[int, Tensor]] = []
    end = 0

    def place(tensor: Tensor) -> _View:
        nonlocal end
        offset = end
        end = -(-(offset + tensor.numel() * tensor.element_size()) // _ALIGNMENT) * _ALIGNMENT
        stored.append((offset, tensor))
        return _View(offset, tuple(tensor.shape), tensor.dtype)

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
    for offset, tensor in stored:
        _view(block, _View(offset, tuple(tensor.shape), tensor.dtype)).copy_(tensor)
    return block, (layout, batch.broken)


def unpack(packed: tuple[Tensor, Any]) -> Batch:
    """The batch; its tensors are views into the block."""
    block, (layout, broken) = packed

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
        return no_masks(*view.shape)  # pyright: ignore[reportCallIssue]
    count = torch.Size(view.shape).numel() * view.dtype.itemsize
    return block[view.offset : view.offset + count].view(view.dtype).view(view.shape)
