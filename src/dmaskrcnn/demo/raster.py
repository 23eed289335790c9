"""A small rasteriser for flat polygons in perspective: one pass writes polygon numbers, the rest is
looked up from them.

World frame in metres: X to the right, Y up from the road, Z forwards. The camera stands at ``eye``
and looks along +Z; the horizon's height in the picture is chosen by shifting the principal point,
so vertical edges stay vertical.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# float32 at run time; numpy's stubs widen float32 combined with a Python float
Array = NDArray[np.floating]
NEAR = 0.5  # metres; polygons are cut off nearer than this
SUPERSAMPLING = 2  # sub-pixels along each side, for smooth edges
BACKGROUND = -1  # "instance" of whatever is not an annotated object


@dataclass
class Face:
    """A flat convex polygon.

    Attributes:
        points: ``(n, 3)``, metres; first three corners bottom left, bottom right, top right as seen
            from its visible side.
        colour: RGB reflectance in [0, 1].
        material: what the shader does with it: one of "object", "ground", "facade", "glow", "leaf".
        two_sided: drawn and lit from both sides.
    """

    points: Array
    colour: tuple[float, float, float]
    material: str = "object"
    two_sided: bool = False


MATERIALS = ("sky", "object", "ground", "facade", "glow", "leaf")


@dataclass
class Camera:
    """A pinhole camera.

    Attributes:
        height: rows of the picture.
        width: columns of the picture.
        focal: focal length in pixels.
        horizon: row of the horizon.
        eye: position in the world, metres; at Z = 0.
    """

    height: int
    width: int
    focal: float
    horizon: float
    eye: tuple[float, float, float]

    def project(self, points: Array) -> Array:
        """World ``(n, 3)`` in front of the camera to pixels ``(n, 2)``, x and y."""
        x, y, z = (points - np.asarray(self.eye)).T
        scale = self.focal / z
        return np.stack([self.width / 2 + x * scale, self.horizon - y * scale], axis=1)

    def rays(self) -> tuple[Array, Array]:
        """Slopes ``X/Z (1, w)`` and ``Y/Z (h, 1)`` of the lines of sight through the sub-pixels."""
        s = SUPERSAMPLING
        x = (np.arange(self.width * s, dtype=np.float32) + 0.5) / s
        y = (np.arange(self.height * s, dtype=np.float32) + 0.5) / s
        return ((x - self.width / 2) / self.focal)[None], ((self.horizon - y) / self.focal)[:, None]


@dataclass
class Light:
    """Daylight: a sun and a sky.

    Attributes:
        direction: unit vector towards the sun.
        sun: strength of the direct light.
        sky: strength of the light from everywhere.
        tint: colour of the sun.
    """

    direction: tuple[float, float, float]
    sun: float
    sky: float
    tint: tuple[float, float, float]


@dataclass
class Canvas:
    """Collects polygons, far ones first: later ones cover earlier ones (painter's algorithm)."""

    camera: Camera
    light: Light
    numbers: Image.Image = field(init=False)
    planes: list[Array] = field(init=False)
    colours: list[Array] = field(init=False)
    materials: list[int] = field(init=False)
    instances: list[int] = field(init=False)

    def __post_init__(self) -> None:
        size = (self.camera.width * SUPERSAMPLING, self.camera.height * SUPERSAMPLING)
        self.numbers = Image.new("I", size, 0)
        self._pen = ImageDraw.Draw(self.numbers)
        # Polygon 0 is the sky: inverse depth 0 everywhere.
        self.planes, self.colours = [np.zeros(3)], [np.zeros(3)]
        self.materials, self.instances = [0], [BACKGROUND]

    def draw(self, faces: list[Face], instance: int = BACKGROUND) -> None:
        """Draw faces in the order given; those turned away from the camera are left out."""
        if not faces:
            return
        camera, light = self.camera, self.light
        sizes = np.array([len(f.points) for f in faces])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        points = np.concatenate([f.points for f in faces])
        relative = points - np.asarray(camera.eye)
        a, b, c = relative[starts], relative[starts + 1], relative[starts + 2]
        # The frame is left-handed (X right, Y up, Z forwards), hence the order in the product.
        normals = np.cross(c - a, b - a)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        distances = -(normals * a).sum(1)  # of the eye in front of the plane
        two_sided = np.array([f.two_sided for f in faces])
        lit = normals @ np.asarray(light.direction)
        lit = np.maximum(np.where(two_sided, np.abs(lit), lit), 0)
        # More of the sky is over a roof than beside a wall.
        sky = light.sky * (0.85 + 0.15 * normals[:, 1])
        shade = sky[:, None] + light.sun * lit[:, None] * np.asarray(light.tint)
        shade[[f.material == "glow" for f in faces]] = 1
        colours = np.array([f.colour for f in faces]) * shade

        whole = np.minimum.reduceat(relative[:, 2], starts) > NEAR
        ahead = np.concatenate([points[:, :2], np.maximum(points[:, 2:], NEAR)], axis=1)
        pixels = camera.project(ahead)
        low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
        in_frame = (high > 0).all(1) & (low < (camera.width, camera.height)).all(1)
        shown = ((distances > 1e-3) | (two_sided & (distances < -1e-3))) & (in_frame | ~whole)
        flat = (pixels * SUPERSAMPLING).ravel().tolist()
        for i in np.flatnonzero(shown).tolist():
            outline = flat[2 * starts[i] : 2 * (starts[i] + sizes[i])]
            if not whole[i]:
                rest = _clip(faces[i].points, NEAR)
                if len(rest) < 3:
                    continue
                outline = (camera.project(rest) * SUPERSAMPLING).ravel().tolist()
            self._pen.polygon(outline, fill=len(self.planes))
            # On the plane, normal . (Z (u, v, 1)) = -distance, so 1/Z is linear in the pixel.
            self.planes.append(normals[i] / -distances[i])
            self.colours.append(colours[i])
            self.materials.append(MATERIALS.index(faces[i].material))
            self.instances.append(instance)


def _clip(points: Array, near: float) -> Array:
    """The part of a convex polygon with Z >= near (Sutherland and Hodgman 1974)."""
    kept = []
    for here, there in zip(points, np.roll(points, -1, axis=0), strict=True):
        if here[2] >= near:
            kept.append(here)
        if (here[2] >= near) != (there[2] >= near):
            kept.append(here + (there - here) * (near - here[2]) / (there[2] - here[2]))
    return np.array(kept).reshape(-1, 3)
