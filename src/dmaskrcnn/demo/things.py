"""The things on a street, and where they stand on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmaskrcnn.demo.background import Street
from dmaskrcnn.demo.parts import Model
from dmaskrcnn.demo.people import person
from dmaskrcnn.demo.raster import Array, Camera, Face
from dmaskrcnn.demo.vehicles import bus, car, motorcycle

BUILDERS = {"person": person, "car": car, "bus": bus, "motorcycle": motorcycle}
CLASSES = tuple(BUILDERS)
CLASS_SHARES = (0.33, 0.25, 0.24, 0.18)  # of the tries: large ones find room less often
# Nearest and farthest place of each class [m]: beyond it, the class would be lower than about 16 px
# in a picture 224 px wide.
RANGES = {"person": (6.0, 19.0), "car": (7.5, 24.0), "bus": (13.0, 38.0), "motorcycle": (5.5, 14.0)}


@dataclass
class Thing:
    """A model at its place in the world.

    Attributes:
        model: what it is.
        x: metres right of the middle of the road.
        z: metres ahead of the camera.
        yaw: radians; 0 heads away from the camera, positive turns to the right.
        label: index into ``CLASSES``; -1 for street furniture.
    """

    model: Model
    x: float
    z: float
    yaw: float
    label: int

    def corners(self) -> Array:
        """``(4, 2)`` corners of the footprint, X and Z."""
        w, _, length = self.model.size
        local = np.array([(-w, -length), (w, -length), (w, length), (-w, length)]) / 2
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return local @ np.array([[c, -s], [s, c]]) + (self.x, self.z)

    def faces(self, eye: tuple[float, float, float]) -> list[Face]:
        """Its faces in the world, in drawing order."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        faces = [f for part in self.model.parts for f in part]
        points = np.concatenate([f.points for f in faces]) @ turn + (self.x, 0, self.z)
        ends = np.cumsum([len(f.points) for f in faces])
        starts = ends - [len(f.points) for f in faces]
        moved = iter(
            Face(points[a:b], f.colour, f.material, f.two_sided)
            for f, a, b in zip(faces, starts, ends, strict=True)
        )
        parts = [[next(moved) for _ in part] for part in self.model.parts]
        if not self.model.in_order:
            middles = {id(p): np.mean([f.points.mean(0) for f in p], axis=0) for p in parts}
            parts.sort(key=lambda part: -float(np.linalg.norm(middles[id(part)] - eye)))
        return [f for part in parts for f in part]


def place_things(street: Street, camera: Camera, rng: np.random.Generator) -> list[Thing]:
    """Two to six objects that overlap neither on the ground nor, much, in the picture."""
    wanted = rng.integers(2, 7)
    things: list[Thing] = []
    frames: list[Array] = []
    for _ in range(60):
        if len(things) == wanted:
            break
        label = int(rng.choice(len(CLASSES), p=CLASS_SHARES))
        name = CLASSES[label]
        near, far = RANGES[name]
        z = 1 / rng.uniform(1 / far, 1 / near)  # even in the picture rather than in the world
        x, z, yaw = _stand(name, z, street, rng)
        if not near <= z <= far:
            continue
        thing = Thing(BUILDERS[name](rng), x, z, yaw, label)
        frame = _frame(thing, camera)
        if frame is not None and _has_room(thing, frame, things, frames):
            things.append(thing)
            frames.append(frame)
    return things


def _stand(
    name: str, z: float, street: Street, rng: np.random.Generator
) -> tuple[float, float, float]:
    """X, Z [m] and a heading [rad] that make sense for this class on this street (traffic keeps to
    the right)."""
    half, wobble = street.half_width, float(rng.normal(0, 0.05))
    side = float(rng.choice([-1, 1]))
    heading = (0.0 if side > 0 else np.pi) + wobble
    if name == "person":
        if rng.random() < 0.5:
            return side * (half + rng.uniform(0.5, 2.2)), z, 0.0
        return float(rng.uniform(-half, half)), z, 0.0
    if street.crossing and name != "motorcycle" and rng.random() < 0.5:
        lane = street.crossing + (-1.75 if side > 0 else 1.75)
        return float(rng.uniform(-9, 9)), lane, side * np.pi / 2 + wobble
    if name == "motorcycle" and rng.random() < 0.75:
        return float(rng.uniform(-half, half)), z, float(rng.uniform(0, 2 * np.pi))
    if name == "car" and rng.random() < 0.35:
        return side * (half - 1.05), z, heading  # parked at the kerb
    return side * (1.75 + float(rng.normal(0, 0.12))), z, heading


def _frame(thing: Thing, camera: Camera) -> Array | None:
    """Its box in the picture (xyxy, cut at the borders), or None where too little or too much of it
    would be seen."""
    feet = thing.corners()
    if feet[:, 1].min() < 3.5:
        return None
    points = np.array([(x, y, z) for x, z in feet for y in (0.0, thing.model.size[1])])
    pixels = camera.project(points)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    cut = np.concatenate([box[:2].clip(0), np.minimum(box[2:], (camera.width, camera.height))])
    (w, h), (full_w, full_h) = cut[2:] - cut[:2], box[2:] - box[:2]
    # Sixteen pixels high and seven wide at a width of 224, and not so large that it is all one
    # sees.
    fits = 0.03 * camera.width < w < 0.72 * camera.width and h > 0.07 * camera.width
    return cut if fits and full_h < 1.1 * camera.height and w * h > 0.5 * full_w * full_h else None


def _has_room(thing: Thing, frame: Array, others: list[Thing], frames: list[Array]) -> bool:
    corners = thing.corners()
    for other, theirs in zip(others, frames, strict=True):
        feet = other.corners()
        gap = np.maximum(corners.min(0) - feet.max(0), feet.min(0) - corners.max(0)).max()
        common = np.minimum(frame[2:], theirs[2:]) - np.maximum(frame[:2], theirs[:2])
        overlap = np.prod(np.clip(common, 0, None))
        smaller = min(np.prod(frame[2:] - frame[:2]), np.prod(theirs[2:] - theirs[:2]))
        if gap < 0.35 or overlap > 0.55 * smaller:
            return False
    return True
