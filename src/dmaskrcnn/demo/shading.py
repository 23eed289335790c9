"""From polygon numbers to a picture, its depth and who is seen where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from dmaskrcnn.demo.raster import MATERIALS, SUPERSAMPLING, Array, Canvas
from dmaskrcnn.haze.scattering import extinction, smooth_field, transmission

SKY_DEPTH = 10_000.0  # metres given to the sky
_OBJECT, _GROUND, _FACADE, _LEAF = (
    MATERIALS.index(name) for name in ("object", "ground", "facade", "leaf")
)


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


def shade(
    canvas: Canvas, sky: Sky, visibility: float, shadow: Array, rng: np.random.Generator
) -> tuple[Array, Array, np.ndarray]:
    """Light every sub-pixel by its polygon, its place in the world and its material.

    Args:
        canvas: with everything drawn.
        sky: its colours.
        visibility: of the clear air in metres; distant houses and hills fade towards the horizon's
            colour.
        shadow: ``(H, W)`` in [0, 1], how much of the daylight is kept from the ground.
        rng: for textures.

    Returns:
        The image, float32 ``(H, W, 3)`` in [0, 1]; the distance along the line of sight, float32
        ``(H, W)`` in metres, at most :data:`SKY_DEPTH`; the instance of each pixel, int ``(H, W)``.
    """
    camera, s = canvas.camera, SUPERSAMPLING
    numbers = np.asarray(canvas.numbers)
    planes = np.array(canvas.planes, dtype=np.float32)
    colours = np.array(canvas.colours, dtype=np.float32)
    materials = np.array(canvas.materials, dtype=np.uint8)[numbers]
    u, v = camera.rays()
    a, b, c = (planes[:, i].take(numbers) for i in range(3))
    inverse = a * u + b * v + c
    z = 1 / np.maximum(inverse, 1 / SKY_DEPTH)

    y = camera.eye[1] + z * v
    grain = rng.standard_normal((camera.height, camera.width), dtype=np.float32)
    # Less light gets between things that stand close above the ground (ambient occlusion).
    light = np.where(materials == _OBJECT, 1 - 0.30 * np.clip(1 - y / 0.8, 0, 1), np.float32(1))
    on_ground = (1 + 0.025 * grain) * (1 - 0.72 * shadow)
    light = np.where(materials == _GROUND, _enlarge(on_ground, s), light)
    light = np.where(materials == _LEAF, _enlarge(1 + 0.10 * grain, s), light)

    x = camera.eye[0] + z * u
    light *= _windows(numbers, materials == _FACADE, planes, x, y, z)
    # Air between: distant houses and hills fade towards the horizon's colour; the sky has it
    # already.
    above = materials == 0
    t = np.where(above, np.float32(1), transmission(z, extinction(visibility)))
    light *= t
    channels = np.ascontiguousarray(colours.T)
    image = np.stack([_average(one.take(numbers) * light, s) for one in channels], axis=2)
    image += (1 - _average(t, s))[..., None] * np.array(sky.horizon, dtype=np.float32)
    image += _average(above.astype(np.float32), s)[..., None] * _sky_colours(canvas, sky, rng)

    # One sub-pixel stands for its pixel: masks stay disjoint, depths are not averaged over edges.
    distance = z[::s, ::s] * np.sqrt(1 + u[:, ::s] ** 2 + v[::s] ** 2)
    distance[above[::s, ::s]] = SKY_DEPTH
    return image, np.minimum(distance, SKY_DEPTH), np.array(canvas.instances)[numbers[::s, ::s]]


def _enlarge(field: Array, by: int) -> Array:
    return field.repeat(by, 0).repeat(by, 1)


def _average(picture: Array, by: int) -> Array:
    """Means of ``by x by`` blocks of ``(H, W)``; slices are several times as fast as
    ``reshape().mean()``."""
    parts = [picture[i::by, j::by] for i in range(by) for j in range(by)]
    return sum(parts[1:], parts[0]) / len(parts)


def _windows(
    numbers: np.ndarray, facade: np.ndarray, planes: Array, x: Array, y: Array, z: Array
) -> Array:
    """Factors for the light that draw rows of windows on the facades; they blur into the wall with
    distance, as they should."""
    factors = np.ones(numbers.size, dtype=np.float32)
    here = np.flatnonzero(facade)  # few of all sub-pixels
    number = numbers.ravel().take(here)
    across, height, depth = (field.ravel().take(here) for field in (x, y, z))
    facing_road = (np.abs(planes[:, 0]) > np.abs(planes[:, 2])).take(number)
    along = np.where(facing_road, depth, across)
    # Houses differ in the spacing of their windows, told apart by the number of the wall.
    pitch = (2.2 + 0.5 * (np.arange(len(planes), dtype=np.float32) % 3)).take(number)
    # Distances from the middle of the nearest window, in windows.
    beside = np.abs((along / pitch) % 1 - 0.5)
    up = np.abs(((height - 0.3) / np.float32(3.1)) % 1 - 0.56)  # storeys are 3.1 m high
    above_ground = height > 0.4
    glass = (beside < 0.23) & (up < 0.24) & above_ground
    frame = (beside < 0.28) & (up < 0.30) & above_ground
    frames = np.where(frame, np.float32(0.12), np.float32(0))
    tone = 1 + np.where(glass, np.float32(-0.54), frames) * np.minimum(30 / depth, 1)
    tone *= 0.8 + 0.2 * np.minimum(height / 3, 1)
    factors[here] = tone
    return factors.reshape(numbers.shape)


def _sky_colours(canvas: Canvas, sky: Sky, rng: np.random.Generator) -> Array:
    """The sky at every pixel ``(H, W, 3)``: a gradient from the horizon up, and clouds that lie
    flatter towards it."""
    camera = canvas.camera
    rows = np.arange(camera.height, dtype=np.float32)
    v = np.clip((camera.horizon - rows - 0.5) / camera.focal, 0, None)[:, None]
    up = np.clip(v / 0.4, 0, 1) ** 0.8
    horizon, zenith = (np.array(c, dtype=np.float32) for c in (sky.horizon, sky.zenith))
    colours = horizon * (1 - up[..., None]) + zenith * up[..., None]
    field = smooth_field(rng, 64, 64, cells=9) + 0.6 * smooth_field(rng, 64, 64, cells=22)
    # Seen on a level ceiling: the row on the cloud map goes with 1/slope.
    rows = 63 * np.clip(0.09 / (v[:, 0] + 0.09), 0, 1)
    columns = np.linspace(0, 63, camera.width)
    cover = map_coordinates(field, np.meshgrid(rows, columns, indexing="ij"), order=1)
    cover = np.clip(0.6 * cover + 2.2 * sky.clouds - 1.0, 0, 1) * np.clip(v / 0.05, 0, 1)
    white = np.array([0.96, 0.96, 0.97], dtype=np.float32) * (1 - 0.14 * sky.clouds)
    return colours + (0.8 * cover)[..., None] * (white - colours)
