"""Data: COCO, Pascal VOC and plain folders behind one :func:`open_dataset`; augmentation; batches
of source and target."""

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
