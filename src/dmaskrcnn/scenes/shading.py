"""From polygon numbers to a picture, its depth and who is seen where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from dmaskrcnn.haze.scattering import smooth_field
from dmaskrcnn.scenes.raster import MATERIALS, SUPERSAMPLING, Array, Canvas

SKY_DEPTH = 10_000.0  # metres given to the sky
_OBJECT, _GROUND, _FACADE, _LEAF = (MATERIALS.index(name) for name in ("object", "ground", "facade", "leaf"))


@dataclass
class Sky:
    """Colours of the sky and the share of cloud in it.

    Attributes:
        zenith: RGB overhead, in [0, 1].
        horizon: RGB at the horizon: also the colour of the air that distant things take on.
        clouds: 0 (none) to 1 (overcast).
    """

    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    clouds: float


def shade(canvas: Canvas, sky: Sky, shadow: Array, rng: np.random.Generator) -> tuple[Array, Array, np.ndarray]:
    """Light every sub-pixel by its polygon, its place in the world and its material.

    Args:
        canvas: with everything drawn.
        sky: its colours.
        shadow: ``(H, W)`` in [0, 1], how much of the daylight is kept from the ground.
        rng: for textures.

    Returns:
        The image, float32 ``(H, W, 3)`` in [0, 1]; the distance along the line of sight, float32 ``(H, W)`` in metres, at most
        :data:`SKY_DEPTH`; the instance of each pixel, int ``(H, W)``.
    """
    camera, s = canvas.camera, SUPERSAMPLING
    numbers = np.asarray(canvas.numbers)
    planes, colours = np.array(canvas.planes, dtype=np.float32), np.array(canvas.colours, dtype=np.float32)
    materials = np.array(canvas.materials, dtype=np.uint8)[numbers]
    u, v = camera.rays()
    inverse = planes[:, 0][numbers] * u + planes[:, 1][numbers] * v + planes[:, 2][numbers]
    z = 1 / np.maximum(inverse, 1 / SKY_DEPTH)
    light = np.ones(numbers.shape, dtype=np.float32)

    y = camera.eye[1] + z * v
    grain = rng.standard_normal((camera.height, camera.width), dtype=np.float32).repeat(s, 0).repeat(s, 1)
    # Less light gets between things that stand close above the ground (ambient occlusion).
    light -= np.where(materials == _OBJECT, 0.30 * np.clip(1 - y / 0.8, 0, 1), 0)
    ground = materials == _GROUND
    light *= np.where(ground, (1 + 0.025 * grain) * (1 - 0.72 * shadow.repeat(s, 0).repeat(s, 1)), 1)
    light *= np.where(materials == _LEAF, 1 + 0.10 * grain, 1)

    picture = colours[numbers] * light[..., None]
    _windows(picture, numbers, materials, planes, u, y, z, camera.eye[0])
    above = materials == 0
    picture[above] = _sky_colours(canvas, sky, rng)[above]
    height, width = camera.height, camera.width
    image = picture.reshape(height, s, width, s, 3).mean(axis=(1, 3))

    # One sub-pixel stands for its pixel: masks stay disjoint, depths are not averaged over edges.
    at = (slice(None, None, s), slice(None, None, s))
    distance = z[at] * np.sqrt(1 + u[:, ::s] ** 2 + v[::s] ** 2)
    distance[above[at]] = SKY_DEPTH
    return image, np.minimum(distance, SKY_DEPTH), np.array(canvas.instances)[numbers[at]]


def _windows(
    picture: Array, numbers: np.ndarray, materials: np.ndarray, planes: Array, u: Array, y: Array, z: Array, eye_x: float
) -> None:
    """Rows of windows on the facades, in place; they blur into the wall with distance, as they should."""
    rows, columns = np.nonzero(materials == _FACADE)
    if not len(rows):
        return
    number, height, depth = numbers[rows, columns], y[rows, columns], z[rows, columns]
    facing_road = np.abs(planes[:, 0]) > np.abs(planes[:, 2])
    along = np.where(facing_road[number], depth, eye_x + depth * u[0, columns])
    # Two or three styles, told apart by the number of the wall.
    pitch = 2.2 + 0.5 * (number % 3)
    column, row = (along / pitch) % 1, ((height - 0.3) / 3.1) % 1
    glass = (column > 0.27) & (column < 0.73) & (row > 0.32) & (row < 0.80) & (height > 0.4)
    frame = (column > 0.22) & (column < 0.78) & (row > 0.26) & (row < 0.84) & (height > 0.4) & ~glass
    strength = np.clip(30 / depth, 0, 1)
    tone = np.where(glass, 0.42, np.where(frame, 1.12, 1.0))
    tone = 1 + (tone - 1) * strength
    tone *= 0.8 + 0.2 * np.clip(height / 3, 0, 1)
    picture[rows, columns] *= tone[:, None]
    picture[rows, columns] += (glass * strength)[:, None] * np.array([0.02, 0.04, 0.06], dtype=np.float32)


def _sky_colours(canvas: Canvas, sky: Sky, rng: np.random.Generator) -> Array:
    """The sky at every sub-pixel: a gradient from the horizon up, and clouds stretched along it."""
    camera, s = canvas.camera, SUPERSAMPLING
    _, v = camera.rays()
    up = np.clip(v / 0.45, 0, 1) ** 0.7
    horizon, zenith = np.array(sky.horizon, dtype=np.float32), np.array(sky.zenith, dtype=np.float32)
    colours = (horizon * (1 - up[..., None]) + zenith * up[..., None]).repeat(camera.width * s, 1)
    field = smooth_field(rng, 24, 16, cells=7) + 0.5 * smooth_field(rng, 24, 16, cells=12)
    size = (camera.width * s, camera.height * s)
    cover = np.asarray(Image.fromarray(field.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    cover = np.clip(0.5 * cover + 1.5 * sky.clouds - 0.7, 0, 1) * np.clip(v / 0.06, 0, 1)
    white = np.array([0.93, 0.94, 0.95], dtype=np.float32) * (1 - 0.12 * sky.clouds)
    return colours + (0.75 * cover)[..., None] * (white - colours)
