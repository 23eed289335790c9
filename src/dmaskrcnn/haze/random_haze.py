"""Haze as an augmentation of labelled clear pictures: random in strength, colour and structure;
cheap enough for training.

The scattering model of ``scattering.py`` on the depth of ``depth.py``, written for speed: a few
passes over a small picture. Ranges were set by eye against photographs of fog without labels
(DAWN): grey by day, brown, blue and dark in the evening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dmaskrcnn.haze.depth import (
    EDGE,
    WINDOW,
    Objects,
    estimate_layout,
    reduced_objects,
    scene_depth,
)
from dmaskrcnn.haze.filters import fast_guided_filter
from dmaskrcnn.haze.scattering import extinction, ray_length, through_haze

STEP = 3  # depth and haze are computed in a picture reduced by this factor
# Optical depth (beta d) of the median object, log-uniform: from a transmission of 0.78 to one of
# 0.11. The true scale of a photograph is not known; with the object at 20 m, visibility is 240 to
# 27 m.
OPTICAL_DEPTH = (0.25, 2.2)
# m; beta is 0.2: all but the next two lengths of a car is gone, whatever the object's distance
LEAST_VISIBILITY = 15.3
PATCHINESS = 0.35  # largest standard deviation of ln beta
GLOW = (0.004, 0.02)  # radius of the forward-scattered light, in widths of the picture
SHADE = 0.12  # largest standard deviation of the airlight's unevenness
# mean brightness of the scene without its haze, in brightnesses of the airlight
CONTRAST = (0.4, 0.8)
EXPOSURE = (0.3, 1.2)  # but at most so much darker or brighter than the picture
NOISE = 0.012  # largest standard deviation of the sensor's noise
# Airlights: share, brightness, and how far the channels lean from it: red minus blue, green minus
# the mean of both.
AIRLIGHTS = (
    (0.60, (0.55, 0.92), (-0.06, 0.05), (-0.01, 0.02)),  # day
    (0.12, (0.40, 0.75), (0.06, 0.22), (-0.01, 0.02)),  # smog, dusk, sodium lamps
    (0.12, (0.30, 0.75), (-0.25, -0.06), (-0.04, 0.02)),  # dawn, blue and violet
    (0.16, (0.2, 0.45), (-0.10, 0.06), (-0.02, 0.02)),  # evening
)


@dataclass(frozen=True)
class HazeAugment:
    """Puts a picture behind random haze.

    Attributes:
        probability: with which it does.
        classes: names that the labels refer to: their typical heights tell the distance.
    """

    probability: float
    classes: tuple[str, ...]

    def __call__(self, image: Tensor, objects: Objects | None, rng: np.random.Generator) -> Tensor:
        """The picture in haze, or as it was.

        Args:
            image: uint8 ``(3, H, W)``.
            objects: what stands in it, in pixels of this picture.
            rng: of all choices.
        """
        if rng.random() >= self.probability:
            return image
        # from a channels-last view, as decoding gives it: several times faster below
        image = image.contiguous().float()
        small = F.avg_pool2d(image, STEP, ceil_mode=True)
        boxes, heights, masks = reduced_objects(objects, self.classes, STEP)
        ground, depths, reference, background = estimate_layout(small.numpy(), boxes, heights, rng)
        size = (small.shape[-2], small.shape[-1])
        depth = scene_depth(boxes, depths, masks, ground, size, background)
        way = torch.from_numpy(ray_length(depth, ground.focal))
        beta = min(
            float(np.exp(rng.uniform(*np.log(OPTICAL_DEPTH)))) / reference,
            extinction(LEAST_VISIBILITY),
        )
        return _random_haze(image, small, way, beta, rng)


def _random_haze(
    image: Tensor, small: Tensor, way: Tensor, beta: float, rng: np.random.Generator
) -> Tensor:
    """The picture, float ``(3, H, W)`` in [0, 255] (overwritten), in haze; ``small`` and
    ``way``, metres along the line of sight, are reduced by ``STEP``."""
    height, width = image.shape[-2:]
    patches = torch.exp(rng.uniform(0, PATCHINESS) * _smooth(rng, *way.shape))
    t = torch.exp(-beta * patches * way)
    # Soft outlines of boxes and of the background so become those of the things in them.
    t = fast_guided_filter(
        image.mean(0).div_(255), small.mean(0).div_(255), t, WINDOW, EDGE
    ).clamp_(0, 1)
    airlight = _random_airlight(rng)
    brightness = airlight.mean()
    # The scene is lit by the same light, and the camera exposes for both.
    light = (airlight / brightness) ** rng.uniform(0.3, 1)
    exposure = brightness * rng.uniform(*CONTRAST) / max(float(small.numpy().mean()) / 255, 0.01)
    light *= np.clip(exposure, *EXPOSURE)
    side = max(1, round(rng.uniform(*GLOW) * width / STEP))
    # as three images, whose bits do not hang on the threads
    blurred = F.avg_pool2d(small, side, ceil_mode=True)[:, None]
    blurred = F.interpolate(blurred, size=(height, width), mode="bilinear")[:, 0]
    scene = image.add_(blurred.sub_(image).mul_(1 - t)).mul_(_rgb(light))
    # Brighter towards the sun behind the fog, darker in the corners.
    evenness = _smooth(rng, height, width).mul_(rng.uniform(0, SHADE)).add_(1)
    hazy = through_haze(scene, t, _rgb(255 * airlight), evenness)
    # The noise also hides the steps of 8 bits.
    hazy.add_(_grain(rng, height, width), alpha=255 * rng.uniform(0.003, NOISE))
    return hazy.add_(0.5).clamp_(0, 255).to(torch.uint8)


def _rgb(colour: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(colour.astype(np.float32))[:, None, None]


def _random_airlight(rng: np.random.Generator) -> NDArray[np.float32]:
    """RGB in [0, 1], float32 ``(3,)``: one of ``AIRLIGHTS``."""
    _, brightness, warmth, green = AIRLIGHTS[
        rng.choice(len(AIRLIGHTS), p=[a[0] for a in AIRLIGHTS])
    ]
    value, lean, tint = rng.uniform(*brightness), rng.uniform(*warmth), rng.uniform(*green)
    return (value + np.array([lean / 2, tint, -lean / 2])).clip(0, 1).astype(np.float32)


def _grain(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """Noise of unit deviation, float32 ``(H, W)``: the sum of two bytes, a quarter of the work of a
    Gaussian."""
    first, second = np.frombuffer(rng.bytes(2 * height * width), np.uint8).reshape(2, height, width)
    return torch.from_numpy((np.add(first, second, dtype=np.float32) - 255) / 104.5)


def _smooth(rng: np.random.Generator, height: int, width: int, waves: int = 4) -> Tensor:
    """A smooth random field, float32 ``(H, W)``, of zero mean and a deviation about 1: the lowest
    cosine waves."""
    order = np.arange(waves, dtype=np.float32)
    strength = 1 / (1 + order[:, None] ** 2 + order**2)
    strength[0, 0] = 0
    strength /= np.linalg.norm(strength) / 2
    y, x = (
        np.cos(np.pi * order * (np.arange(n, dtype=np.float32)[:, None] + 0.5) / n)
        for n in (height, width)
    )
    waves_2d = strength * rng.standard_normal((waves, waves), dtype=np.float32)
    return torch.from_numpy((y @ waves_2d @ x.T).astype(np.float32))
