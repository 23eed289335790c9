"""Mask R-CNN's own part of every method: the features of a batch, and the losses of its labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from dmaskrcnn.data.sample import Batch, Sample
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.pyramid import Features, split
from dmaskrcnn.detector.transform import padded_size

# Pixels of both domains in one padding, over those of each in its own, up to which one pass is less
# work for a GPU. A pass costs it some 500 launches (benchmarks/launches.py); chosen, not measured.
JOINED = 1.1


def detection_losses(
    detector: Detector, images: ImageList, features: Features, samples: Sequence[Sample]
) -> dict[str, Tensor]:
    """The five losses of Mask R-CNN on the objects of ``samples``, from which ``images`` and
    ``features`` were made."""
    objects = [s.objects.to(detector.device) for s in samples if s.objects is not None]
    return detector.losses(images, features, objects, [s.seed for s in samples])


def features_of(detector: Detector, samples: Sequence[Sample]) -> tuple[ImageList, Features]:
    """The images of ``samples`` as one batch, and their features."""
    images = detector.normalise([s.image for s in samples])
    return images, detector.features(images)


def features_of_both(
    detector: Detector, batch: Batch, padded_alike: bool
) -> tuple[ImageList, ImageList, tuple[Features, Features]]:
    """The source's images, the target's, and the features of each.

    Padding each domain to its own size saves a sixth of the pixels of four photographs each, for
    a second pass, which on a GPU may cost more (`one_pass`). Padding that differs could tell a
    domain classifier the domains apart, and BatchNorm's statistics must hold for both.

    Args:
        detector: in training mode.
        batch: with images of both domains.
        padded_alike: one padded size for both; always so in a network with BatchNorm.
    """
    if not (padded_alike or detector.config.norm == "batch" or one_pass(detector, batch)):
        (first, clear), (second, hazy) = (
            features_of(detector, samples) for samples in (batch.source, batch.target)
        )
        return first, second, (clear, hazy)
    count = len(batch.source)
    images, features = features_of(detector, [*batch.source, *batch.target])
    first = ImageList(images.tensors[:count], images.image_sizes[:count])
    second = ImageList(images.tensors[count:], images.image_sizes[count:])
    return first, second, split(features, count)


def one_pass(detector: Detector, batch: Batch) -> bool:
    """Whether both domains go through the network together: on a GPU, where their paddings are
    nearly the same. The same in every process."""
    if detector.device.type == "cpu":
        return False
    domains = [[sample.image for sample in samples] for samples in (batch.source, batch.target)]
    own = [padded_size(images, shared=True) for images in domains]
    apart = sum(len(images) * math.prod(size) for images, size in zip(domains, own, strict=True))
    together = sum(map(len, domains)) * math.prod(max(sides) for sides in zip(*own, strict=True))
    return together <= JOINED * apart
