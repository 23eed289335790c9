"""From pictures to Detections: one forward pass of a batch, and streams of any length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmaskrcnn.data.picture_input import Channels, each_pixels, image_tensor, is_one
from dmaskrcnn.data.sizes import target_size
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.limits import Limits, check_threshold
from dmaskrcnn.detector.roi_heads import paste_masks
from dmaskrcnn.detector.tiles import Tiled
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from dmaskrcnn.detector.detector import Detector

# Pixels of the network's input that a CPU looks at together, unless one picture has more: larger
# batches are no faster there (docs/performance.md), and take 0.4 GB for each of 800 x 1333.
AT_ONCE = 1 << 20


def stream(
    detector: Detector,
    images: Any,
    threshold: float,
    limits: Limits,
    best: bool,
    batch_size: int,
    tiles: int,
    channels: Channels,
) -> Iterator[Detections]:
    """``Detector.stream``, which has the words. The arguments are checked at once, the pictures as
    they come."""
    check_threshold(threshold)
    if batch_size < 1:
        raise UserError(f"batch_size: {batch_size} images make no batch; give at least 1")
    tiled = Tiled(detector, tiles, batch_size) if tiles else None
    pictures, alone = each_pixels(images, channels), is_one(images)

    def found_in(batch: list[tuple[NDArray[np.uint8], Path | None]]) -> list[Detections]:
        tensors = [image_tensor(pixels) for pixels, _ in batch]
        if tiled:
            found = tiled.predict(tensors, threshold, best=best)
        else:
            found = detect(detector, tensors, threshold, limits, best)
        for one, (_, path), tensor in zip(found, batch, tensors, strict=True):
            one.image = path or (tensor if alone else None)
        return found

    def batches() -> Iterator[Detections]:
        while batch := list(islice(pictures, batch_size)):
            found = found_in(batch)
            batch.clear()  # before the next one is read
            yield from found

    return batches()


@torch.inference_mode()
def detect(
    detector: Detector, images: Sequence[Tensor], threshold: float, limits: Limits, best: bool
) -> list[Detections]:
    """The objects in uint8 images ``(3, H, W)``, in one forward pass; on a CPU in several, where
    together they have more than `AT_ONCE` pixels."""
    was_training = detector.training
    detector.eval()
    parts = [images] if detector.device.type != "cpu" else _parts(images, detector.config)
    found = [one for part in parts for one in _found(detector, part, threshold, limits, best)]
    detector.train(was_training)
    return found


def _parts(images: Sequence[Tensor], config: DetectorConfig) -> list[list[Tensor]]:
    """The images in their order, as many together as have no more than `AT_ONCE` pixels when they
    are padded to the largest."""
    parts: list[list[Tensor]] = []
    largest = 0
    for image in images:
        height, width = image.shape[-2:]
        area = math.prod(target_size(height, width, config.image_size, config.max_size))
        largest = max(largest, area)
        if parts and largest * (len(parts[-1]) + 1) <= AT_ONCE:
            parts[-1].append(image)
        else:
            parts.append([image])
            largest = area
    return parts


def _found(
    detector: Detector, images: Sequence[Tensor], threshold: float, limits: Limits, best: bool
) -> list[Detections]:
    moved = [image.to(detector.device, non_blocking=True) for image in images]
    batch = detector.normalise([detector.resize(image) for image in moved])
    features = detector.features(batch)
    proposals, _ = detector.rpn(batch, features)
    sizes = batch.image_sizes
    results = detector.roi_heads.detect(
        features, proposals.per_image(), sizes, limits, threshold, best
    )
    return [
        _detections(result, size, image.shape[-2:], detector.classes)
        for result, size, image in zip(results, sizes, images, strict=True)
    ]


def _detections(
    result: dict[str, Tensor], size: tuple[int, int], original: torch.Size, classes: tuple[str, ...]
) -> Detections:
    height, width = original
    # first: pasting asks for numbers object by object, for each of which a GPU would be waited for
    result = {name: value.cpu() for name, value in result.items()}
    boxes = result["boxes"] * torch.tensor((width / size[1], height / size[0]) * 2)
    masks = paste_masks(result["masks"], boxes, height, width)
    return Detections(boxes, result["labels"] - 1, result["scores"], masks, classes)
