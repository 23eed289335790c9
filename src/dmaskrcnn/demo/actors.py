"""The things that are annotated, built from shaded boxes, cylinders and flat limbs.

Every builder returns a :class:`Model` in its own frame: origin on the ground below its middle, +Z
to its front, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dmaskrcnn.demo.raster import Array, Face

Colour = tuple[float, float, float]
# u0, u1 along the face from its left; v0, v1 from its foot; colour
Decal = tuple[float, float, float, float, Colour]

GLASS: Colour = (0.17, 0.22, 0.27)
TYRE: Colour = (0.07, 0.07, 0.08)
BLACK: Colour = (0.10, 0.10, 0.11)
CHROME: Colour = (0.62, 0.63, 0.65)
LAMP: Colour = (1.0, 0.97, 0.86)
TAIL_LAMP: Colour = (0.85, 0.07, 0.06)
PAINTS: tuple[Colour, ...] = (
    (0.72, 0.10, 0.10),
    (0.12, 0.25, 0.58),
    (0.88, 0.88, 0.87),
    (0.16, 0.17, 0.19),
    (0.58, 0.61, 0.64),
    (0.13, 0.40, 0.33),
    (0.85, 0.62, 0.12),
    (0.45, 0.12, 0.20),
    (0.28, 0.50, 0.68),
)
BUS_PAINTS: tuple[Colour, ...] = (
    (0.80, 0.15, 0.12),
    (0.93, 0.72, 0.15),
    (0.15, 0.45, 0.62),
    (0.22, 0.52, 0.30),
    (0.86, 0.86, 0.82),
)
CLOTHES: tuple[Colour, ...] = (
    (0.75, 0.20, 0.18),
    (0.20, 0.33, 0.62),
    (0.90, 0.75, 0.25),
    (0.25, 0.48, 0.34),
    (0.86, 0.85, 0.82),
    (0.50, 0.30, 0.52),
    (0.88, 0.48, 0.20),
    (0.22, 0.23, 0.27),
)
TROUSERS: tuple[Colour, ...] = (
    (0.15, 0.18, 0.30),
    (0.18, 0.18, 0.19),
    (0.45, 0.38, 0.28),
    (0.32, 0.34, 0.38),
)
SKINS: tuple[Colour, ...] = (
    (0.90, 0.72, 0.60),
    (0.78, 0.57, 0.43),
    (0.52, 0.35, 0.25),
    (0.36, 0.24, 0.17),
)
HAIRS: tuple[Colour, ...] = (
    (0.12, 0.09, 0.07),
    (0.30, 0.19, 0.11),
    (0.62, 0.47, 0.26),
    (0.55, 0.54, 0.53),
)


@dataclass
class Model:
    """One object in its own frame.

    Attributes:
        parts: convex parts, each a list of faces.
        size: width (X), height (Y) and length (Z) in metres.
        billboard: flat and always turned to the camera.
        in_order: draw the parts in this order; False: the farthest first.
    """

    parts: list[list[Face]]
    size: tuple[float, float, float]
    billboard: bool = False
    in_order: bool = True


def _darker(colour: Colour, by: float) -> Colour:
    return colour[0] * by, colour[1] * by, colour[2] * by


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    base = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.85, 1.12) + rng.normal(
        0, 0.02, 3
    )
    r, g, b = base.clip(0.03, 0.97)
    return float(r), float(g), float(b)


def block(
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    colour: Colour,
    *,
    top_x: tuple[float, float] | None = None,
    top_z: tuple[float, float] | None = None,
    decals: dict[str, list[Decal]] | None = None,
    material: str = "object",
) -> list[Face]:
    """A box, or (with ``top_x``, ``top_z``) one that tapers upwards; decals lie on the faces rear,
    front, left, right, top."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    (a0, a1), (c0, c1) = top_x or x, top_z or z
    low = {"rl": (x0, y0, z0), "rr": (x1, y0, z0), "fl": (x0, y0, z1), "fr": (x1, y0, z1)}
    high = {"rl": (a0, y1, c0), "rr": (a1, y1, c0), "fl": (a0, y1, c1), "fr": (a1, y1, c1)}
    sides = {
        "rear": ("rl", "rr"),
        "front": ("fr", "fl"),
        "left": ("fl", "rl"),
        "right": ("rr", "fr"),
    }
    quads = {name: np.array([low[a], low[b], high[b], high[a]]) for name, (a, b) in sides.items()}
    quads["top"] = np.array([high["rl"], high["rr"], high["fr"], high["fl"]])
    faces = []
    for name, quad in quads.items():
        faces.append(Face(quad, colour, material))
        for u0, u1, v0, v1, paint in (decals or {}).get(name, []):
            u, v = np.array([u0, u1, u1, u0])[:, None], np.array([v0, v0, v1, v1])[:, None]
            inner = (quad[0] * (1 - u) + quad[1] * u) * (1 - v) + (
                quad[3] * (1 - u) + quad[2] * u
            ) * v
            faces.append(Face(inner, paint, "glow" if paint in (LAMP, TAIL_LAMP) else "object"))
    return faces


_CIRCLE = np.linspace(0, 2 * np.pi, 12, endpoint=False)


def tread(x: tuple[float, float], z: float, radius: float) -> list[Face]:
    """The running surface of a wheel that stands on the ground, its axle along X."""
    zs, ys = z + radius * np.cos(_CIRCLE), radius + radius * np.sin(_CIRCLE)
    faces = []
    for i in range(len(_CIRCLE)):
        j = (i + 1) % len(_CIRCLE)
        strip = [
            (x[0], ys[j], zs[j]),
            (x[1], ys[j], zs[j]),
            (x[1], ys[i], zs[i]),
            (x[0], ys[i], zs[i]),
        ]
        faces.append(Face(np.array(strip), TYRE))
    return faces


def discs(x: tuple[float, float], z: float, radius: float, hub: Colour = CHROME) -> list[Face]:
    """The two outer sides of a wheel, or of the wheels of one axle: tyre, rim and hub."""
    zs, ys = z + radius * np.cos(_CIRCLE), radius + radius * np.sin(_CIRCLE)
    faces = []
    for side, order in ((x[1], 1), (x[0], -1)):
        for share, colour in ((1.0, TYRE), (0.62, hub), (0.22, _darker(hub, 0.5))):
            ring = np.stack(
                [np.full(12, side), radius + share * (ys - radius), z + share * (zs - z)], axis=1
            )
            faces.append(Face(ring[::order], colour))
    return faces


def _undercarriage(
    half_width: float, tyre: float, axles: tuple[float, float], radius: float
) -> list[Face]:
    sides = ((-half_width, -half_width + tyre), (half_width - tyre, half_width))
    return [face for z in axles for x in sides for face in tread(x, z, radius)]


def _outer_wheels(half_width: float, axles: tuple[float, float], radius: float) -> list[Face]:
    return [
        face for z in axles for face in discs((-half_width - 0.015, half_width + 0.015), z, radius)
    ]


def car(rng: np.random.Generator) -> Model:
    """A saloon, hatchback or SUV."""
    paint = _pick(rng, PAINTS)
    kind = rng.integers(3)
    width, length = rng.uniform(1.72, 1.9), (4.5, 3.9, 4.5)[kind] * rng.uniform(0.96, 1.04)
    height = (1.42, 1.5, 1.75)[kind]
    belt = height * 0.62
    w, half = width / 2, length / 2
    radius = 0.32 if kind < 2 else 0.37
    rear_deck = (0.75, 0.08, 0.06)[kind]
    skirt = _darker(paint, 0.55)
    plate = (0.93, 0.93, 0.9)
    lower = block(
        (-w, w),
        (0.2, 0.5),
        (-half, half),
        paint,
        decals={
            "rear": [(0, 1, 0, 0.45, BLACK), (0.36, 0.64, 0.45, 0.85, plate)],
            "front": [(0, 1, 0, 0.4, BLACK), (0.36, 0.64, 0.2, 0.6, plate)],
            "left": [(0, 1, 0, 0.3, skirt)],
            "right": [(0, 1, 0, 0.3, skirt)],
        },
    )
    door = [(0.505, 0.515, 0.0, 0.95, _darker(paint, 0.5)), (0.43, 0.49, 0.7, 0.8, skirt)]
    upper = block(
        (-w, w),
        (0.5, belt),
        (-half, half),
        paint,
        top_x=(-w + 0.05, w - 0.05),
        top_z=(-half + 0.1, half - 0.25),
        decals={
            "rear": [(0.02, 0.2, 0.35, 0.88, TAIL_LAMP), (0.8, 0.98, 0.35, 0.88, TAIL_LAMP)],
            "front": [
                (0.28, 0.72, 0.1, 0.75, BLACK),
                (0.04, 0.23, 0.28, 0.78, LAMP),
                (0.77, 0.96, 0.28, 0.78, LAMP),
            ],
            "left": door,
            "right": door,
        },
    )
    panes: list[Decal] = [(0.1, 0.46, 0.12, 0.86, GLASS), (0.51, 0.88, 0.12, 0.86, GLASS)]
    cabin = block(
        (-w + 0.07, w - 0.07),
        (belt, height),
        (-half + rear_deck, half - 1.05),
        _darker(paint, 0.95),
        top_x=(-w + 0.24, w - 0.24),
        top_z=(-half + rear_deck + (0.55, 0.3, 0.2)[kind], half - 1.75),
        decals={
            "rear": [(0.08, 0.92, 0.15, 0.88, GLASS)],
            "front": [(0.05, 0.95, 0.08, 0.92, GLASS)],
            "left": panes,
            "right": panes,
        },
    )
    axles = (-half + 0.78, half - 0.82)
    below, beside = _undercarriage(w, 0.2, axles, radius), _outer_wheels(w, axles, radius)
    return Model([below, lower, upper, beside, cabin], (width, height, length))


def bus(rng: np.random.Generator) -> Model:
    """A city bus."""
    paint = _pick(rng, BUS_PAINTS)
    roof = (0.88, 0.88, 0.86) if rng.random() < 0.5 else paint
    length = rng.uniform(8.5, 11.5)
    w, half, height = 1.25, length / 2, rng.uniform(2.9, 3.2)
    count = int(length // 1.5)
    edges = np.linspace(0.03, 0.97, count + 1)
    panes: list[Decal] = [
        (a + 0.008, b - 0.008, 0.42, 0.82, GLASS) for a, b in pairwise(edges.tolist())
    ]
    stripe: Decal = (0, 1, 0.2, 0.27, (0.93, 0.93, 0.9) if roof == paint else _darker(paint, 0.6))
    skirt: Decal = (0, 1, 0, 0.06, BLACK)
    display: Decal = (0.2, 0.8, 0.88, 0.97, (0.95, 0.62, 0.1))
    body = block(
        (-w, w),
        (0.32, height - 0.12),
        (-half, half),
        paint,
        top_x=(-w + 0.06, w - 0.06),
        decals={
            "rear": [
                skirt,
                (0.12, 0.88, 0.52, 0.82, GLASS),
                (0.2, 0.8, 0.12, 0.36, _darker(paint, 0.55)),
                (0.03, 0.13, 0.14, 0.34, TAIL_LAMP),
                (0.87, 0.97, 0.14, 0.34, TAIL_LAMP),
            ],
            "front": [
                skirt,
                (0.04, 0.96, 0.36, 0.85, GLASS),
                (0.49, 0.51, 0.36, 0.85, BLACK),
                (0.1, 0.9, 0.87, 0.98, BLACK),
                display,
                (0.05, 0.2, 0.12, 0.24, LAMP),
                (0.8, 0.95, 0.12, 0.24, LAMP),
                (0.3, 0.7, 0.1, 0.2, BLACK),
            ],
            "left": [skirt, stripe, *panes],
            "right": [
                skirt,
                stripe,
                *panes,
                (0.83, 0.93, 0.06, 0.82, _darker(GLASS, 0.7)),
                (0.877, 0.883, 0.06, 0.82, paint),
            ],
        },
    )
    top = block((-w + 0.1, w - 0.1), (height - 0.12, height), (-half + 0.15, half - 0.3), roof)
    axles = (-half + 2.4, half - 2.2)
    return Model(
        [_undercarriage(w, 0.3, axles, 0.48), body, _outer_wheels(w, axles, 0.48), top],
        (2 * w, height, length),
    )


def motorcycle(rng: np.random.Generator) -> Model:
    """A parked motorcycle."""
    paint = _pick(rng, PAINTS)
    metal = (0.35, 0.36, 0.38)
    radius = rng.uniform(0.31, 0.35)
    rear, front = -0.72, 0.76
    fins: list[Decal] = [(0.15, 0.85, 0.2, 0.5, BLACK)]
    tail: list[Decal] = [(0.1, 0.9, 0.3, 0.9, TAIL_LAMP)]
    parts = [
        tread((-0.09, 0.09), rear, radius) + discs((-0.09, 0.09), rear, radius),
        tread((-0.07, 0.07), front, radius) + discs((-0.07, 0.07), front, radius),
        block((-0.2, 0.2), (0.25, 0.6), (-0.32, 0.34), metal, decals={"left": fins, "right": fins}),
        block((0.18, 0.27), (0.28, 0.4), (-1.0, -0.1), CHROME),
        block((-0.05, 0.05), (0.3, 1.0), (0.68, 0.82), metal, top_z=(0.4, 0.5)),
        block(
            (-0.17, 0.17), (0.6, 0.93), (-0.1, 0.5), paint, top_x=(-0.12, 0.12), top_z=(0.0, 0.42)
        ),
        block((-0.15, 0.15), (0.62, 0.8), (-0.85, -0.08), BLACK, top_z=(-0.95, -0.12)),
        block(
            (-0.1, 0.1),
            (0.5, 0.68),
            (-1.02, -0.5),
            paint,
            top_z=(-1.1, -0.5),
            decals={"rear": tail},
        ),
        block((-0.1, 0.1), (0.6, 0.68), (0.45, 1.08), paint, top_z=(0.5, 1.0)),
        block((-0.38, 0.38), (0.98, 1.06), (0.36, 0.43), BLACK),
        block(
            (-0.17, 0.17),
            (0.72, 1.12),
            (0.46, 0.72),
            paint,
            top_x=(-0.12, 0.12),
            top_z=(0.42, 0.5),
            decals={"front": [(0.18, 0.82, 0.1, 0.55, LAMP), (0.12, 0.88, 0.62, 0.98, GLASS)]},
        ),
    ]
    return Model(parts, (0.76, 1.12, 2.2), in_order=False)


def _limb(
    start: tuple[float, float],
    end: tuple[float, float],
    widths: tuple[float, float],
    colour: Colour,
) -> Face:
    """A flat tapering strip in the XY plane, with pointed caps."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / (np.linalg.norm(b - a) + 1e-9)
    across = np.array([-along[1], along[0]])
    wa, wb = widths[0] / 2, widths[1] / 2
    outline = [
        a + across * wa,
        a - along * wa * 0.7,
        a - across * wa,
        b - across * wb,
        b + along * wb * 0.7,
        b + across * wb,
    ]
    return _flat(np.array(outline), colour)


def _flat(outline: Array, colour: Colour) -> Face:
    return Face(
        np.concatenate([outline, np.zeros((len(outline), 1))], axis=1), colour, two_sided=True
    )


def person(rng: np.random.Generator) -> Model:
    """A pedestrian, walking or standing, seen from any side."""
    height = rng.uniform(1.58, 1.88)
    k = height / 1.75
    shirt, trousers, skin, hair = (_pick(rng, c) for c in (CLOTHES, TROUSERS, SKINS, HAIRS))
    side_view = rng.random() < 0.5
    facing = 1.0 if rng.random() < 0.5 else -1.0
    stride = rng.uniform(0.12, 0.34) if side_view else rng.uniform(0.02, 0.08)
    shoulder = 0.15 if side_view else 0.23
    hip = 0.1 if side_view else 0.14
    swing = rng.uniform(0.1, 0.28) * (1 if side_view else 0.35)
    shoe = (0.12, 0.11, 0.11)

    def at(x: float, y: float) -> tuple[float, float]:
        return facing * x * k, y * k

    def leg(foot: float, root: float, shade: float) -> list[Face]:
        knee = at((foot + root) / 2 + 0.04 * side_view, 0.48)
        toe = 0.12 if side_view else 0.02
        return [
            _limb(at(foot - 0.03, 0.05), at(foot + toe, 0.045), (0.1 * k, 0.09 * k), shoe),
            _limb(at(root, 0.9), knee, (0.19 * k, 0.14 * k), _darker(trousers, shade)),
            _limb(knee, at(foot, 0.1), (0.14 * k, 0.11 * k), _darker(trousers, shade)),
        ]

    def arm(root: float, hand: float, shade: float) -> list[Face]:
        elbow = at((root + hand) / 2 - 0.03 * side_view, 1.1)
        return [
            _limb(at(root, 1.4), elbow, (0.12 * k, 0.1 * k), _darker(shirt, shade)),
            _limb(elbow, at(hand, 0.86), (0.09 * k, 0.075 * k), _darker(shirt, shade)),
            _limb(at(hand, 0.84), at(hand, 0.8), (0.085 * k, 0.07 * k), _darker(skin, shade)),
        ]

    legs_x = (-stride, stride) if side_view else (-0.11 - stride, 0.11 + stride)
    roots = (0.0, 0.0) if side_view else (-0.085, 0.085)
    neck = shoulder * 0.55
    flank = [at(hip, 0.86), at(shoulder, 1.38), at(neck, 1.48)]
    torso = np.array([at(-hip, 0.86), *flank, at(-neck, 1.48), at(-shoulder, 1.38)])
    half = np.array([at(hip * 0.25, 0.86), *flank, at(shoulder * 0.2, 1.48)])
    round_ = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)
    head = np.array(at(0.03 * side_view, 1.625))
    face = round_ * (0.1 * k, 0.13 * k) + head
    cap = round_ * (0.108 * k, 0.1 * k) + head + (-0.02 * k * facing * side_view, 0.045 * k)
    seen_from_behind = not side_view and rng.random() < 0.5
    faces = leg(legs_x[0], roots[0], 0.72)
    faces += arm(0.0, -swing, 0.7) if side_view else arm(-0.25, -0.29 - swing * 0.3, 0.85)
    faces += leg(legs_x[1], roots[1], 1.0)
    faces += [_limb(at(0, 1.46), at(0, 1.54), (0.1 * k, 0.1 * k), _darker(skin, 0.85))]
    faces += [_flat(torso, shirt), _flat(half, _darker(shirt, 0.84))]
    faces += arm(0.0, swing, 0.92) if side_view else arm(0.25, 0.29 + swing * 0.3, 0.8)
    if seen_from_behind:
        faces += [_flat(face, _darker(hair, 0.9)), _flat(cap, hair)]
    else:
        fringe = cap[1:6] + np.array([0, 0.012 * k])
        faces += [_flat(cap, hair), _flat(face - (0, 0.02 * k), skin), _flat(fringe, hair)]
        if side_view:
            faces += [_limb(at(-0.06, 1.66), at(-0.06, 1.6), (0.09 * k, 0.07 * k), hair)]
    if rng.random() < 0.35 and seen_from_behind:
        bag = np.array([at(-0.16, 0.98), at(0.16, 0.98), at(0.15, 1.4), at(-0.15, 1.4)])
        faces += [_flat(bag, _pick(rng, CLOTHES))]
    width = 2 * (max(stride, swing) + 0.15) if side_view else 0.72
    return Model([faces], (width * k, height, 0.4), billboard=True)


BUILDERS = {"person": person, "car": car, "bus": bus, "motorcycle": motorcycle}
