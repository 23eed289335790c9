"""Cars, buses and motorcycles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dmaskrcnn.demo.palette import (
    BLACK,
    BUS_DISPLAY,
    BUS_PAINTS,
    BUS_ROOF,
    CHROME,
    GLASS,
    LAMP,
    METAL,
    PAINTS,
    PLATE,
    TAIL_LAMP,
    darker,
    pick,
)
from dmaskrcnn.demo.parts import Decal, Model, block, discs, tread, wheels


def car(rng: np.random.Generator) -> Model:
    """A saloon, hatchback or SUV."""
    paint = pick(rng, PAINTS)
    kind = rng.integers(3)
    width, length = rng.uniform(1.72, 1.9), (4.5, 3.9, 4.5)[kind] * rng.uniform(0.96, 1.04)
    height = (1.42, 1.5, 1.75)[kind]
    belt = height * 0.62
    w, half = width / 2, length / 2
    radius = 0.32 if kind < 2 else 0.37
    rear_deck = (0.75, 0.08, 0.06)[kind]
    skirt = darker(paint, 0.55)
    lower = block(
        (-w, w),
        (0.2, 0.5),
        (-half, half),
        paint,
        decals={
            "rear": [(0, 1, 0, 0.45, BLACK), (0.36, 0.64, 0.45, 0.85, PLATE)],
            "front": [(0, 1, 0, 0.4, BLACK), (0.36, 0.64, 0.2, 0.6, PLATE)],
            "left": [(0, 1, 0, 0.3, skirt)],
            "right": [(0, 1, 0, 0.3, skirt)],
        },
    )
    door = [(0.505, 0.515, 0.0, 0.95, darker(paint, 0.5)), (0.43, 0.49, 0.7, 0.8, skirt)]
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
        darker(paint, 0.95),
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
    below, beside = wheels(w, 0.2, axles, radius)
    return Model([below, lower, upper, beside, cabin], (width, height, length))


def bus(rng: np.random.Generator) -> Model:
    """A city bus."""
    paint = pick(rng, BUS_PAINTS)
    roof = BUS_ROOF if rng.random() < 0.5 else paint
    length = rng.uniform(8.5, 11.5)
    w, half, height = 1.25, length / 2, rng.uniform(2.9, 3.2)
    count = int(length // 1.5)
    edges = np.linspace(0.03, 0.97, count + 1)
    panes: list[Decal] = [
        (a + 0.008, b - 0.008, 0.42, 0.82, GLASS) for a, b in pairwise(edges.tolist())
    ]
    stripe: Decal = (0, 1, 0.2, 0.27, PLATE if roof == paint else darker(paint, 0.6))
    skirt: Decal = (0, 1, 0, 0.06, BLACK)
    display: Decal = (0.2, 0.8, 0.88, 0.97, BUS_DISPLAY)
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
                (0.2, 0.8, 0.12, 0.36, darker(paint, 0.55)),
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
                (0.83, 0.93, 0.06, 0.82, darker(GLASS, 0.7)),
                (0.877, 0.883, 0.06, 0.82, paint),
            ],
        },
    )
    top = block((-w + 0.1, w - 0.1), (height - 0.12, height), (-half + 0.15, half - 0.3), roof)
    axles = (-half + 2.4, half - 2.2)
    below, beside = wheels(w, 0.3, axles, 0.48)
    return Model([below, body, beside, top], (2 * w, height, length))


def motorcycle(rng: np.random.Generator) -> Model:
    """A parked motorcycle."""
    paint = pick(rng, PAINTS)
    radius = rng.uniform(0.31, 0.35)
    rear, front = -0.72, 0.76
    fins: list[Decal] = [(0.15, 0.85, 0.2, 0.5, BLACK)]
    tail: list[Decal] = [(0.1, 0.9, 0.3, 0.9, TAIL_LAMP)]
    parts = [
        tread((-0.09, 0.09), rear, radius) + discs((-0.09, 0.09), rear, radius),
        tread((-0.07, 0.07), front, radius) + discs((-0.07, 0.07), front, radius),
        block((-0.2, 0.2), (0.25, 0.6), (-0.32, 0.34), METAL, decals={"left": fins, "right": fins}),
        block((0.18, 0.27), (0.28, 0.4), (-1.0, -0.1), CHROME),
        block((-0.05, 0.05), (0.3, 1.0), (0.68, 0.82), METAL, top_z=(0.4, 0.5)),
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
