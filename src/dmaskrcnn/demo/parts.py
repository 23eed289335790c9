"""What the things of a street are built from: shaded boxes, wheels and flat limbs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmaskrcnn.demo.palette import CHROME, LAMP, TAIL_LAMP, TYRE, Colour, darker
from dmaskrcnn.demo.raster import Array, Face

# u0, u1 along the face from its left; v0, v1 from its foot; colour
Decal = tuple[float, float, float, float, Colour]
Point = tuple[float, float]
Span = float | tuple[float, float]  # from, to in metres; a number w: from -w to w
CIRCLE = np.linspace(0, 2 * np.pi, 12, endpoint=False)


@dataclass
class Model:
    """One object in its own frame: origin on the ground below its middle, +Z to its front, metres.

    Attributes:
        parts: convex parts, each a list of faces.
        size: width (X), height (Y) and length (Z) in metres.
        in_order: draw the parts in this order; False: the farthest first.
    """

    parts: list[list[Face]]
    size: tuple[float, float, float]
    in_order: bool = True


def block(
    x: Span,
    y: tuple[float, float],
    z: Span,
    colour: Colour,
    *,
    top_x: Span | None = None,
    top_z: Span | None = None,
    material: str = "object",
    **decals: list[Decal],
) -> list[Face]:
    """A box, or (with ``top_x``, ``top_z``) one that tapers upwards; decals lie on the faces
    ``rear``, ``front``, ``left``, ``right`` or, with these both, ``sides``."""
    (x0, x1), (y0, y1), (z0, z1) = _ends(x), y, _ends(z)
    (a0, a1), (c0, c1) = _ends(x if top_x is None else top_x), _ends(z if top_z is None else top_z)
    low = {"rl": (x0, y0, z0), "rr": (x1, y0, z0), "fl": (x0, y0, z1), "fr": (x1, y0, z1)}
    high = {"rl": (a0, y1, c0), "rr": (a1, y1, c0), "fl": (a0, y1, c1), "fr": (a1, y1, c1)}
    feet = {
        "rear": ("rl", "rr"),
        "front": ("fr", "fl"),
        "left": ("fl", "rl"),
        "right": ("rr", "fr"),
    }
    quads = {name: np.array([low[a], low[b], high[b], high[a]]) for name, (a, b) in feet.items()}
    quads["top"] = np.array([high["rl"], high["rr"], high["fr"], high["fl"]])
    sides, faces = decals.get("sides", []), []
    for name, quad in quads.items():
        faces.append(Face(quad, colour, material))
        both = sides if name in ("left", "right") else []
        for u0, u1, v0, v1, paint in both + decals.get(name, []):
            u, v = np.array([u0, u1, u1, u0])[:, None], np.array([v0, v0, v1, v1])[:, None]
            foot, head = quad[0] * (1 - u) + quad[1] * u, quad[3] * (1 - u) + quad[2] * u
            glows = paint in (LAMP, TAIL_LAMP)
            faces.append(Face(foot * (1 - v) + head * v, paint, "glow" if glows else "object"))
    return faces


def _ends(span: Span) -> tuple[float, float]:
    return span if isinstance(span, tuple) else (-span, span)


def tread(x: Span, z: float, radius: float) -> list[Face]:
    """The running surface of a wheel that stands on the ground, its axle along X."""
    left, right = _ends(x)
    ring = np.stack([radius + radius * np.sin(CIRCLE), z + radius * np.cos(CIRCLE)], axis=1)
    return [
        Face(np.array([(left, *b), (right, *b), (right, *a), (left, *a)]), TYRE)
        for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)
    ]


def discs(half_width: float, z: float, radius: float) -> list[Face]:
    """The two outer sides of a wheel, or of the wheels of one axle: tyre, rim and hub."""
    zs, ys = z + radius * np.cos(CIRCLE), radius + radius * np.sin(CIRCLE)
    faces = []
    for side, order in ((half_width, 1), (-half_width, -1)):
        for share, colour in ((1.0, TYRE), (0.62, CHROME), (0.22, darker(CHROME, 0.5))):
            height, along = radius + share * (ys - radius), z + share * (zs - z)
            ring = np.stack([np.full(12, side), height, along], axis=1)
            faces.append(Face(ring[::order], colour))
    return faces


def wheels(
    half_width: float, tyre: float, axles: tuple[float, float], radius: float
) -> tuple[list[Face], list[Face]]:
    """Four wheels of ``tyre`` metres width: what is drawn before the body, and what after it."""
    sides = ((-half_width, -half_width + tyre), (half_width - tyre, half_width))
    below = [face for z in axles for x in sides for face in tread(x, z, radius)]
    return below, [face for z in axles for face in discs(half_width + 0.015, z, radius)]


def limb(start: Point, end: Point, widths: tuple[float, float], colour: Colour) -> Face:
    """A flat tapering strip in the XY plane, with pointed caps."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / (np.linalg.norm(b - a) + 1e-9)
    across = np.array([-along[1], along[0]])
    wa, wb = widths[0] / 2, widths[1] / 2
    near = [a + across * wa, a - along * wa * 0.7, a - across * wa]
    far = [b - across * wb, b + along * wb * 0.7, b + across * wb]
    return flat(np.array(near + far), colour)


def flat(outline: Array, colour: Colour) -> Face:
    """A polygon in the XY plane, from its corners ``(n, 2)``; it shows from both sides."""
    points = np.concatenate([outline, np.zeros((len(outline), 1))], axis=1)
    return Face(points, colour, two_sided=True)
