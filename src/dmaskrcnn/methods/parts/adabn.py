"""Adaptive batch normalisation (AdaBN; Li et al., "Revisiting Batch Normalization for Practical
Domain Adaptation", 2016).

Haze takes contrast away, so that the features of a hazy image lie closer together than those the
detector was trained on. A norm with the statistics of hazy images puts them back: no label and no
training, some seconds. Here by a share of the way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from dmaskrcnn.data import Dataset
from dmaskrcnn.data.loader import find_places, permutation
from dmaskrcnn.data.readable import readable
from dmaskrcnn.data.sample import Sample
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.pyramid import without_padding

# Of each domain in all, and at a time. A channel's mean is over all positions of all images, so
# that few images will do; these are seconds on a CPU, and docs/results.md measured with them.
IMAGES, BATCH = 32, 8
# Of a channel: one that varies less counts as varying so much, as a dead one must not be amplified.
LEAST_DEVIATION = 1e-3

Norm = FrozenBatchNorm2d | nn.BatchNorm2d
Moments = tuple[Tensor, Tensor]  # mean and standard deviation per channel, float32 (C,)


@torch.no_grad()
def adapt_norms(
    detector: Detector,
    source: Dataset,
    target: Dataset,
    share: float,
    seed: int = 0,
    gone: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> int:
    """Change the norms of the backbone so that target images give features with the statistics of
    source images.

    Per channel of a norm's output, with mean m and standard deviation s:
    ``y ← (y − m) s_source / s + m_source``, where ``m`` and ``s`` lie between the source's and the
    target's by ``share``. Norms are taken in their order, each on the features that the changed
    ones before it give.

    Args:
        detector: changed in place.
        source: what the detector was trained on; labels are not used.
        target: images of the domain that it is to work in.
        share: in [0, 1]; 0 changes nothing, 1 is AdaBN.
        seed: of the choice of images.
        gone: see `Batches`; the choice is that from all that were there.

    Returns:
        The number of target images that were looked at.

    Raises:
        UserError: no image of a domain can be read.
    """
    # not those of a pyramid that has its own (`--heads deep`)
    norms = [m for m in detector.backbone.body.modules() if isinstance(m, Norm)]
    training = detector.training
    detector.eval()
    chosen = _chosen(source, seed, gone.get("source", ()))
    clear = _moments(detector, norms, chosen)
    chosen = _chosen(target, seed, gone.get("target", ()))
    hazy = _moments(detector, norms, chosen, lambda index, own: _affine(clear[index], own, share))
    detector.train(training)
    for norm, own, other in zip(norms, clear, hazy, strict=True):
        gain, shift = _affine(own, other, share)
        weight, bias = cast(Tensor, norm.weight), cast(Tensor, norm.bias)
        weight.mul_(gain)
        bias.mul_(gain).add_(shift)
    return min(IMAGES, len(target))


def _moments(
    detector: Detector,
    norms: Sequence[Norm],
    images: Iterator[Sample],
    change: Callable[[int, Moments], tuple[Tensor, Tensor]] | None = None,
) -> list[Moments]:
    """What each norm puts out, over some images.

    With ``change`` on features that are changed on the way: it turns the number of a norm and its
    moments in a batch into gain and shift.
    """
    sums: list[list[Tensor]] = [[] for _ in norms]
    batch: ImageList

    def observer(index: int) -> Callable[..., Tensor | None]:
        def observe(_: nn.Module, __: object, maps: Tensor) -> Tensor | None:
            values = without_padding(maps, batch)
            sums[index].append(torch.stack([values.mean(1), values.square().mean(1)]))
            if change is None:
                return None
            gain, shift = change(index, _mean_and_deviation(sums[index][-1]))
            return maps * gain[:, None, None] + shift[:, None, None]

        return observe

    with ExitStack() as hooks:
        for index, norm in enumerate(norms):
            hooks.callback(norm.register_forward_hook(observer(index)).remove)
        for batch in _batches(detector, images):
            detector.backbone.body(batch.tensors)  # all norms are there
    return [_mean_and_deviation(torch.stack(parts).mean(0)) for parts in sums]


def _mean_and_deviation(moments: Tensor) -> Moments:
    """From the means of values and of their squares ``(2, C)``."""
    mean, square = moments
    return mean, (square - mean.square()).clamp(min=0).sqrt()


def _affine(source: Moments, target: Moments, share: float) -> tuple[Tensor, Tensor]:
    """Gain and shift that bring values with the target's moments towards the source's, by
    ``share``."""
    mean, deviation = (a.lerp(b, share) for a, b in zip(source, target, strict=True))
    gain = source[1].clamp(min=LEAST_DEVIATION) / deviation.clamp(min=LEAST_DEVIATION)
    return gain, source[0] - mean * gain


def _chosen(images: Dataset, seed: int, gone: Collection[int]) -> Iterator[Sample]:
    places = find_places(len(images), gone)
    order = places[permutation(seed, "adabn", 0, len(places))]
    return islice(readable(images, order[order >= 0].tolist()), IMAGES)


def _batches(detector: Detector, images: Iterator[Sample]) -> Iterator[ImageList]:
    while batch := [detector.resize(sample.image) for sample in islice(images, BATCH)]:
        yield detector.normalise(batch)
