"""A random street: its weather, its shadows and the picture of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from dmaskrcnn.demo.background import Street, furniture, ground, skyline
from dmaskrcnn.demo.raster import BACKGROUND, SUPERSAMPLING, Array, Camera, Canvas, Face, Light
from dmaskrcnn.demo.shading import Sky, shade
from dmaskrcnn.demo.things import Thing, place_things

MIN_PIXELS = 24  # of an annotated object
MIN_VISIBLE = 0.25  # share of an object that neither another object nor the border may hide


@dataclass
class Scene:
    """One rendered picture and everything that is true of it.

    Attributes:
        image: uint8 ``(H, W, 3)``, RGB, clear air.
        depth: float32 ``(H, W)``, metres along the line of sight; the sky is at ``SKY_DEPTH``.
        masks: bool ``(N, H, W)``, the visible part of each object; disjoint.
        boxes: float32 ``(N, 4)``, xyxy, tight around the masks (right and lower edge exclusive).
        labels: int64 ``(N,)``, indices into ``things.CLASSES``.
        distances: float32 ``(N,)``, metres from the camera to the middle of each object, along the
            road.
        airlight: RGB in [0, 1], the colour of the horizon.
    """

    image: NDArray[np.uint8]
    depth: Array
    masks: NDArray[np.bool_]
    boxes: Array
    labels: NDArray[np.int64]
    distances: Array
    airlight: tuple[float, float, float]


def render_scene(seed: int, height: int = 160, width: int = 224) -> Scene:
    """A street on a clear day.

    Args:
        seed: >= 0; the same seed and size give the same scene in every process.
        height: rows, at least 32.
        width: columns, at least 32.

    Returns:
        The picture with its depth and its 2 to 6 annotated objects (fewer where a small frame
        leaves no room).
    """
    if height < 32 or width < 32:
        raise ValueError(f"a scene needs at least 32 x 32 pixels, not {height} x {width}")
    rng = np.random.default_rng(seed)
    street = Street.random(rng)
    focal = width * rng.uniform(0.92, 1.15)
    # on the right lane, near the middle or on the left one; as high as a person to a van's roof
    eye_x = float(rng.choice([1.7, 0.3, -1.0]) + rng.normal(0, 0.4))
    eye = (eye_x, float(rng.uniform(1.7, 2.6)), 0.0)
    camera = Camera(height, width, focal, height * rng.uniform(0.36, 0.46), eye)
    light, sky = _weather(rng)
    backdrop = ground(street, rng) + skyline(street, rng)
    static = [Thing(m, x, z, 0.0, BACKGROUND) for m, x, z in furniture(street, rng)]
    # the rest is out of the picture
    static = [t for t in static if abs(t.x - eye[0]) < t.z * 0.5 * width / focal + 3]
    things = place_things(street, camera, rng)
    texture_seed = rng.integers(2**32)
    while True:
        canvas, areas = _draw(camera, light, backdrop, static + things)
        shown = _shadows(camera, light, static + things)
        picture, depth, owners = shade(
            canvas, sky, street.visibility, shown, np.random.default_rng(texture_seed)
        )
        visible = [int((owners == i).sum()) for i in range(len(things))]
        least = [max(MIN_PIXELS, MIN_VISIBLE * area) for area in areas]
        kept = [t for t, seen, few in zip(things, visible, least, strict=True) if seen >= few]
        if len(kept) == len(things):
            break
        # what is hardly seen leaves the street, so that nothing visible is without annotation
        things = kept

    noise = np.random.default_rng(texture_seed + 1)  # of the sensor
    picture += 0.008 * noise.standard_normal(picture.shape, dtype=np.float32)
    masks = owners == np.arange(len(things))[:, None, None]
    return Scene(
        image=(picture.clip(0, 1) * 255 + 0.5).astype(np.uint8),
        depth=depth.astype(np.float32),
        masks=masks,
        boxes=tight_boxes(masks),
        labels=np.array([t.label for t in things], dtype=np.int64),
        distances=np.array([t.z for t in things], dtype=np.float32),
        airlight=sky.horizon,
    )


def tight_boxes(masks: NDArray[np.bool_]) -> Array:
    """Boxes ``(N, 4)`` xyxy around non-empty masks ``(N, H, W)``; right and lower edge
    exclusive."""
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
    return boxes


def _weather(rng: np.random.Generator) -> tuple[Light, Sky]:
    """Blue noon, low golden sun or an overcast day."""
    kind = rng.choice(3, p=(0.5, 0.25, 0.25))
    azimuth = rng.uniform(0.3, 1.2) * rng.choice([-1, 1])  # away from straight behind the camera
    elevation = (rng.uniform(0.7, 1.05), rng.uniform(0.38, 0.6), 1.0)[kind]
    towards = (
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
        float(-np.cos(elevation) * np.cos(azimuth)),
    )
    light = (
        Light(towards, 0.62, 0.56, (1.0, 0.97, 0.92)),
        Light(towards, 0.66, 0.54, (1.0, 0.86, 0.68)),
        Light(towards, 0.10, 0.80, (1.0, 1.0, 1.0)),
    )[kind]
    sky = (
        Sky((0.20, 0.43, 0.78), (0.76, 0.86, 0.94), float(rng.uniform(0.3, 0.65))),
        Sky((0.36, 0.50, 0.74), (0.97, 0.83, 0.66), float(rng.uniform(0.3, 0.6))),
        Sky((0.60, 0.65, 0.72), (0.84, 0.86, 0.88), float(rng.uniform(0.7, 1.0))),
    )[kind]
    return light, sky


def _draw(
    camera: Camera, light: Light, backdrop: list[Face], things: list[Thing]
) -> tuple[Canvas, list[float]]:
    """Everything, far before near; with the pixels each annotated object would show were nothing
    before it."""
    canvas = Canvas(camera, light)
    canvas.draw(backdrop)
    # The annotated objects come last in the list; they are instances 0, 1, …
    first_object = next((i for i, t in enumerate(things) if t.label >= 0), len(things))
    areas = [0.0] * (len(things) - first_object)
    for i in _far_to_near(things, camera.eye[0]):
        first = len(canvas.planes)
        canvas.draw(things[i].faces(camera.eye), max(i - first_object, BACKGROUND))
        if i >= first_object:
            drawn = float((np.asarray(canvas.numbers) >= first).sum())
            areas[i - first_object] = drawn / SUPERSAMPLING**2
    return canvas, areas


def _far_to_near(things: list[Thing], eye_x: float) -> list[int]:
    """An order in which nothing is drawn over something that hides it."""
    boxes = []
    for t in things:
        corners = t.corners() - (eye_x, 0)
        boxes.append((*corners.min(0).tolist(), *corners.max(0).tolist()))

    def hides(a: int, b: int) -> bool:
        """Whether a can hide b: no axis-parallel wall between them has b on the camera's side."""
        ax0, az0, ax1, az1 = boxes[a]
        bx0, bz0, bx1, bz1 = boxes[b]
        if az0 >= bz1 or (ax0 >= bx1 and ax0 > 0) or (ax1 <= bx0 and ax1 < 0):
            return False
        if bz0 >= az1 or (bx0 >= ax1 and bx0 > 0) or (bx1 <= ax0 and bx1 < 0):
            return True
        return things[a].z < things[b].z

    left = sorted(range(len(things)), key=lambda i: -things[i].z)
    order = []
    while left:
        pick = next((i for i in left if not any(j != i and hides(i, j) for j in left)), left[0])
        left.remove(pick)
        order.append(pick)
    return order


def _shadows(camera: Camera, light: Light, things: list[Thing]) -> Array:
    """Where the ground gets less light: ``(H, W)`` in [0, 1]. A footprint swept away from the sun,
    and the dark right below."""
    picture = Image.new("L", (camera.width, camera.height), 0)
    pen = ImageDraw.Draw(picture)
    lx, ly, lz = light.direction

    def fill(outline: Array, value: int) -> None:
        x, z = outline.T
        points = np.stack([x, np.zeros(len(x)), np.maximum(z, 1.0)], axis=1)
        pen.polygon(camera.project(points).ravel().tolist(), fill=value)

    cast = int(255 * light.sun / (light.sun + light.sky))
    if light.sun > 0.3:
        for thing in things:
            feet = thing.corners()
            shift = -np.array([lx, lz]) / ly * thing.model.size[1] * 0.92
            fill(feet + shift, cast)
            for a, b in zip(feet, np.roll(feet, -1, axis=0), strict=True):
                fill(np.array([a, b, b + shift, a + shift]), cast)
    for thing in things:
        if thing.label >= 0:
            fill((thing.corners() - (thing.x, thing.z)) * 1.06 + (thing.x, thing.z), 200)
    return gaussian_filter(np.asarray(picture, dtype=np.float32) / 255, camera.width / 260)
