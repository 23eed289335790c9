"""Pairs of hazy and clear pictures for the training of dehazers: clear ones, behind haze of the
scattering model.

Rendered scenes have a true depth. For photographs a transmission is invented that does not follow
their objects: uniform, as in the training of patch-based dehazers (Tang et al. 2014), a ground
plane, tilted walls, or smooth clouds; with steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dmaskrcnn.haze.scattering import smooth_field, through_haze, transmission

SIZE = (160, 224)  # of every picture, rows and columns
AIRLIGHT = (0.6, 1.0)  # brightness; RESIDE has 0.7 to 1.0, photographs of fog reach down to 0.6
TINT = 0.03  # largest deviation of a channel of the airlight
MEAN_TRANSMISSION = (0.1, 0.9)
T_FLOOR = 0.02


@dataclass
class Clear:
    """A picture in clear air: uint8 ``(H, W, 3)``, and its depth ``(H, W)`` in any unit, if
    known."""

    image: NDArray[np.uint8]
    depth: NDArray[np.float32] | None


def random_pair(picture: Clear, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A hazy version of a piece of a picture.

    Returns:
        Hazy and clear image, float32 ``(3, *SIZE)`` in [0, 1] (the hazy one rounded to 8 bits);
        transmission ``(1, *SIZE)``.
    """
    image, depth = _piece(picture, rng)
    clear = image.astype(np.float32) / 255
    # Exposure and white balance of a camera: keeps the networks from learning the pictures' average
    # colour.
    clear = (
        (clear ** rng.uniform(0.8, 1.25) * (rng.uniform(0.9, 1.1) + rng.uniform(-0.04, 0.04, 3)))
        .clip(0, 1)
        .astype(np.float32)
    )
    t = _random_transmission(depth, rng)
    light = (rng.uniform(*AIRLIGHT) + rng.uniform(-TINT, TINT, 3)).clip(0, 1).astype(np.float32)
    hazy = through_haze(clear, t[..., None], light)
    hazy = (hazy * 255).round() / 255
    return _channels_first(hazy), _channels_first(clear), torch.from_numpy(t)[None]


def _channels_first(image: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _piece(
    picture: Clear, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """A random crop of a photograph, reduced by up to two; a scene as it is; half of them
    mirrored."""
    image, depth = picture.image, picture.depth
    if depth is None:
        height, width = image.shape[:2]
        scale = rng.uniform(1, min(height / SIZE[0], width / SIZE[1]))
        top, left = (
            rng.uniform(0, height - scale * SIZE[0]),
            rng.uniform(0, width - scale * SIZE[1]),
        )
        box = (left, top, left + scale * SIZE[1], top + scale * SIZE[0])
        image = np.asarray(
            Image.fromarray(image).resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR, box)
        )
    if rng.random() < 0.5:
        image, depth = image[:, ::-1], None if depth is None else depth[:, ::-1]
    return image, depth


def _random_transmission(
    depth: NDArray[np.float32] | None, rng: np.random.Generator
) -> NDArray[np.float32]:
    """exp(-beta d), float32 ``SIZE``, with a depth as given or invented, and beta for a mean
    transmission as drawn."""
    wanted = rng.uniform(*MEAN_TRANSMISSION)
    if depth is None:
        depth = _invented_depth(rng)
    depth = np.minimum(depth, 8 * np.median(depth)).astype(np.float32)
    low, high = 1e-4, 100.0
    beta = 1.0
    unit = depth / depth.mean()
    for _ in range(24):  # bisection: the mean falls as beta grows
        beta = (low * high) ** 0.5
        low, high = (beta, high) if np.exp(-beta * unit[::8, ::8]).mean() > wanted else (low, beta)
    return transmission(unit, beta).clip(T_FLOOR, 1)


def _invented_depth(rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = SIZE
    kind = rng.integers(4)
    if kind == 0:
        return np.ones(SIZE, np.float32)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    if kind == 1:  # the ground below a horizon
        depth = 1 / np.maximum(y - rng.uniform(-0.3, 0.5), 0.1)
    elif kind == 2:  # walls and floor of a room: the nearest of three planes
        planes = [
            1 / np.maximum(1 + (x - 0.5) * a + (y - 0.5) * b, 0.15)
            for a, b in rng.uniform(-1.8, 1.8, (3, 2))
        ]
        depth = np.minimum.reduce(planes)
    else:
        depth = np.exp(
            rng.uniform(0.2, 0.6) * smooth_field(rng, height, width, cells=int(rng.integers(2, 6)))
        )
    for _ in range(rng.integers(0, 4)):  # things nearer than what is behind them
        top, left, tall, wide = (
            rng.uniform(0, 0.8),
            rng.uniform(0, 0.8),
            rng.uniform(0.1, 0.6),
            rng.uniform(0.1, 0.6),
        )
        inside = ((y - top - tall / 2) / tall) ** 2 + ((x - left - wide / 2) / wide) ** 2 < 0.25
        depth = np.where(inside, np.minimum(depth, depth[inside].min(initial=np.inf)), depth)
    return depth.astype(np.float32)
