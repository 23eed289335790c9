"""Data: COCO, Pascal VOC and plain folders behind one :func:`open_dataset`; augmentation; batches
of source and target.

Names are imported when they are first used: opening a picture needs no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmaskrcnn.data.augment import Augmentation, resize_to, strong_photometric
    from dmaskrcnn.data.classes import canonical
    from dmaskrcnn.data.dataset import Dataset, open_dataset, open_images
    from dmaskrcnn.data.frames import group_images
    from dmaskrcnn.data.image import decode_image, list_images
    from dmaskrcnn.data.inspection import Inspection, inspect
    from dmaskrcnn.data.learnable import describe_learnable
    from dmaskrcnn.data.loader import Batches, batch_loader
    from dmaskrcnn.data.sample import Annotations, Batch, Sample
    from dmaskrcnn.data.similar import look_alikes, same_images, similar_images

__all__ = [
    "Annotations",
    "Augmentation",
    "Batch",
    "Batches",
    "Dataset",
    "Inspection",
    "Sample",
    "batch_loader",
    "canonical",
    "decode_image",
    "describe_learnable",
    "group_images",
    "inspect",
    "list_images",
    "look_alikes",
    "open_dataset",
    "open_images",
    "resize_to",
    "same_images",
    "similar_images",
    "strong_photometric",
]

_HOMES = {
    "Annotations": "sample",
    "Augmentation": "augment",
    "Batch": "sample",
    "Batches": "loader",
    "Dataset": "dataset",
    "Inspection": "inspection",
    "Sample": "sample",
    "batch_loader": "loader",
    "canonical": "classes",
    "decode_image": "image",
    "describe_learnable": "learnable",
    "group_images": "frames",
    "inspect": "inspection",
    "list_images": "image",
    "look_alikes": "similar",
    "open_dataset": "dataset",
    "open_images": "dataset",
    "resize_to": "augment",
    "same_images": "similar",
    "similar_images": "similar",
    "strong_photometric": "augment",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
