"""Augmentation of one sample: a pure function of the sample and a seed, on uint8 tensors; boxes and
masks follow the picture.

Order: scale jitter with crop, resize and flip in one resampling; then haze; four of these in a
mosaic; colour, greyscale, blur, hidden blocks. A picture is resampled once, and polygons are
rasterised at the size that comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dmaskrcnn.data.masks_field import Held, held_masks
from dmaskrcnn.data.mosaic import Layout, compose
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.sample import Annotations, Sample
from dmaskrcnn.data.shapes import Shapes, Window, nearest
from dmaskrcnn.data.sizes import target_size

# (image, its objects, random numbers) to the image behind haze
Haze = Callable[[Tensor, Annotations | None, np.random.Generator], Tensor]
# image to the image without haze, and what was found on the way
Dehaze = Callable[[Tensor], tuple[Tensor, Any]]

BLOCK = 32  # px
# ImageNet's: zero for the network, as the padding
MEAN_COLOUR = torch.tensor((124, 116, 104), dtype=torch.uint8).view(3, 1, 1)
MOSAIC_SCALE = (0.3, 1.0)  # factors on the size of the pictures in a mosaic
MIN_SIDE = 1.0  # px; boxes thinner than this after the transform are dropped


@dataclass(frozen=True)
class Augmentation:
    """What is done to every sample of a domain.

    Attributes:
        short_side: px that the shorter side is resized to.
        long_side: px that the longer side never exceeds (the shorter one gives way), as in the
            Faster R-CNN paper, §3.3.
        flip: probability of a horizontal flip.
        scale: ``(smallest, largest)`` factor on the size, log-uniform; enlarged pictures are
            cropped at random.
        mosaic: probability that a picture shares its place with three others, each at a factor of
            its own in `MOSAIC_SCALE` (YOLOv4, Bochkovskiy et al. 2020, section 3.4): scenes of many
            and small objects out of close-ups.
        haze: synthetic haze, for clear images only.
        strong: colour jitter, greyscale and blur (the recipe of Unbiased Teacher, Liu et al. 2021,
            table in appendix A).
        weak: keep the picture as it was before its colours were changed, too, as ``Sample.weak``.
        dehaze: what ``weak`` goes through.
        hide: largest share of the picture that is hidden in blocks (of a student, not of its
            teacher's view).
        sizes: ``(smallest, largest)`` factor on both sides, log-uniform, see `of_batch`.
    """

    short_side: int = 800
    long_side: int = 1333
    flip: float = 0.5
    scale: tuple[float, float] = (1.0, 1.0)
    mosaic: float = 0.0
    haze: Haze | None = None
    strong: bool = False
    weak: bool = False
    dehaze: Dehaze | None = None
    hide: float = 0.0
    sizes: tuple[float, float] = (1.0, 1.0)

    @property
    def least(self) -> tuple[float, float]:
        """The shorter and the longer side, px, of the largest picture that is asked for: what has
        more pixels may be decoded at a part of its size."""
        factor = max(1.0, self.scale[1])  # those of `MOSAIC_SCALE` are smaller
        return factor * self.short_side, factor * self.long_side

    def of_batch(self, seed: int) -> Augmentation:
        """The same at a size of its own for one batch: padded to the largest of them, pictures of
        many sizes would cost as much as the largest."""
        if self.sizes == (1.0, 1.0):
            return self
        factor = _log_uniform(self.sizes, torch.Generator().manual_seed(seed))
        short, long = round(self.short_side * factor), round(self.long_side * factor)
        return replace(self, short_side=short, long_side=long)

    def companions(self, seed: int) -> int:
        """How many other samples the one of this seed is to be given: 3 for a mosaic, or 0."""
        # with random numbers of its own: the rest stays as it is without mosaics
        return (
            3 if self.mosaic > 0 and np.random.default_rng((seed, 2)).random() < self.mosaic else 0
        )

    def __call__(self, sample: Sample, seed: int, others: Sequence[Sample] = ()) -> Sample:
        """The augmented sample, or the mosaic of it and ``others``; the same for the same samples
        and seed, on any machine and in any process."""
        generator = torch.Generator().manual_seed(seed)
        if others:
            sample = self._mosaic([sample, *others], seed, generator)
        else:
            sample = self._behind_haze(self._resampled(sample, generator), (seed, 1))
        if self.strong:
            sample = replace(sample, image=strong_photometric(sample.image, generator))
        if self.hide:
            sample = replace(
                sample, image=hide_blocks(sample.image, self.hide * _uniform(generator), generator)
            )
        return sample

    def _resampled(self, sample: Sample, generator: torch.Generator) -> Sample:
        flip = _uniform(generator) < self.flip
        return resample(
            sample,
            self.short_side,
            self.long_side,
            _log_uniform(self.scale, generator),
            flip,
            (_uniform(generator), _uniform(generator)),
        )

    def _behind_haze(self, sample: Sample, seeds: tuple[int, ...]) -> Sample:
        # with random numbers of its own: the rest stays as it is without haze
        if self.haze is not None:
            random = np.random.default_rng(seeds)
            sample = replace(sample, image=self.haze(sample.image, sample.objects, random))
        if self.weak:
            sample = replace(
                sample, weak=sample.image if self.dehaze is None else self.dehaze(sample.image)[0]
            )
        return sample

    def _mosaic(self, samples: list[Sample], seed: int, generator: torch.Generator) -> Sample:
        """Each part in air of its own: one haze over four scenes would have no depth."""
        size = target_size(*samples[0].size, self.short_side, self.long_side)
        layout = Layout.draw(*size, generator)
        parts = []
        for index, (sample, room) in enumerate(zip(samples, layout.rooms, strict=True)):
            flip = _uniform(generator) < self.flip
            factor = _log_uniform(MOSAIC_SCALE, generator)
            crop = _uniform(generator), _uniform(generator)
            usual = self.short_side, self.long_side
            part = resample(sample, *usual, factor, flip, crop, room)
            parts.append(self._behind_haze(part, (seed, 1, index)))
        return compose(parts, layout, MEAN_COLOUR)


def resize_to(sample: Sample, short_side: int, long_side: int) -> Sample:
    """Resize, nothing else."""
    return resample(sample, short_side, long_side)


def resample(
    sample: Sample,
    short_side: int,
    long_side: int,
    factor: float = 1.0,
    flip: bool = False,
    crop: tuple[float, float] = (0.5, 0.5),
    room: tuple[int, int] | None = None,
) -> Sample:
    """Scale, crop and flip with one resampling of the picture.

    With ``factor`` > 1 the window of the usual size is cut from the enlarged picture (only that
    window is computed); with ``factor`` < 1 the picture simply becomes smaller (the model pads
    batches). Boxes are clipped to the window; objects whose box is then under 1 px wide or high are
    dropped.

    Args:
        sample: image uint8 ``(3, H, W)``, perhaps reduced already.
        short_side: px of the shorter side at factor 1.
        long_side: px limit of the longer side at factor 1.
        factor: on the size.
        flip: mirror left to right.
        crop: where the window lies: ``(vertical, horizontal)`` in [0, 1].
        room: the height and width in px that the window may have at most; None: those of factor 1.
    """
    height, width = sample.image.shape[-2:]
    full_h, full_w = target_size(*sample.size, short_side, long_side)
    most_h, most_w = room or (full_h, full_w)
    out_h = max(1, min(round(full_h * factor), most_h))
    out_w = max(1, min(round(full_w * factor), most_w))
    # The window in source pixels: whole pixels, so that cropping needs no resampling of its own.
    win_h = max(1, round(height * min(1.0, most_h / (full_h * factor))))
    win_w = max(1, round(width * min(1.0, most_w / (full_w * factor))))
    top, left = round((height - win_h) * crop[0]), round((width - win_w) * crop[1])

    image = sample.image[:, top : top + win_h, left : left + win_w]
    if (win_h, win_w) != (out_h, out_w):
        image = tv.resize(image, [out_h, out_w], antialias=True)
    if flip:
        image = image.flip(-1)
    objects = sample.objects
    if objects is not None:
        top, left, win_h, win_w = (sample.reduced * side for side in (top, left, win_h, win_w))
        window = top, left, win_h, win_w
        objects = _resample_objects(objects, window, (out_h, out_w), flip)
    return replace(sample, image=image, objects=objects, reduced=1)


def _resample_objects(
    objects: Annotations, window: Window, size: tuple[int, int], flip: bool
) -> Annotations:
    top, left, win_h, win_w = window
    out_h, out_w = size
    offset = torch.tensor([left, top, left, top], dtype=torch.float32)
    scale = torch.tensor([out_w / win_w, out_h / win_h] * 2, dtype=torch.float32)
    boxes = (objects.boxes - offset) * scale
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, out_w)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, out_h)
    if flip:
        boxes[:, [0, 2]] = out_w - boxes[:, [2, 0]]
    keep = (
        (boxes[:, 2] - boxes[:, 0] >= MIN_SIDE) & (boxes[:, 3] - boxes[:, 1] >= MIN_SIDE)
    ).nonzero()[:, 0]

    has_mask = objects.has_mask[keep]
    masks = no_masks(len(keep), out_h, out_w)
    if has_mask.any():
        masks = _resample_masks(held_masks(objects)[keep], window, size, flip)
        # a mask that shrank to nothing would teach that there is none
        has_mask = has_mask & masks.flatten(1).any(1)
    return Annotations(
        boxes[keep],
        objects.labels[keep],
        masks,
        has_mask,
        objects.crowd[keep],
        objects.difficult[keep],
    )


def _resample_masks(held: Held, window: Window, size: tuple[int, int], flip: bool) -> Tensor:
    if isinstance(held, Shapes):
        return held.resampled(window, size, flip)
    frames = held.frames() if isinstance(held, PackedMasks) else held
    rows, columns = map(torch.from_numpy, map(nearest, window[:2], window[2:], size))
    picked = frames.index_select(1, rows).index_select(2, columns)
    return picked.flip(2) if flip else picked


def strong_photometric(image: Tensor, generator: torch.Generator) -> Tensor:
    """Colour jitter 0.6–1.4 (p 0.8), greyscale (p 0.2), Gaussian blur σ 0.1–2 px (p 0.5): changes
    no geometry.

    Pillow does it on 8 bits in a fifth of the time of float32; its blur is three boxes, which is
    Gaussian to 3 %.

    Args:
        image: uint8 ``(3, H, W)``.
        generator: of the random choices.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if _uniform(generator) < 0.8:
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = change(picture).enhance(0.6 + 0.8 * _uniform(generator))
    if _uniform(generator) < 0.2:
        picture = picture.convert("L").convert("RGB")
    if _uniform(generator) < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(0.1 + 1.9 * _uniform(generator)))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def hide_blocks(image: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Hide random blocks of 32 x 32 px (masked image consistency, Hoyer et al., CVPR 2023, section
    3.2). Returns a new tensor.

    Args:
        image: uint8 ``(3, H, W)``.
        share: expected part of the picture that is hidden, in [0, 1].
        generator: of the random choices.
    """
    height, width = image.shape[-2:]
    hidden = torch.rand(-(-height // BLOCK), -(-width // BLOCK), generator=generator) < share
    hidden = hidden.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[:height, :width]
    return torch.where(hidden, MEAN_COLOUR, image)


def _log_uniform(bounds: tuple[float, float], generator: torch.Generator) -> float:
    low, high = (math.log(factor) for factor in bounds)
    return math.exp(low + (high - low) * _uniform(generator))


def _uniform(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()
