"""Cars, buses and motorcycles: boxes of the proportions of real ones, metres; what lies on a box
(`parts.Decal`) in shares of its face."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dmaskrcnn.demo import palette
from dmaskrcnn.demo.palette import BLACK, GLASS, LAMP, PLATE, TAIL_LAMP, darker, pick
from dmaskrcnn.demo.parts import Decal, Model, block, discs, tread, wheels


def car(rng: np.random.Generator) -> Model:
    """A saloon, hatchback or SUV."""
    paint = pick(rng, palette.PAINTS)
    kind = rng.integers(3)
    width, length = rng.uniform(1.72, 1.9), (4.5, 3.9, 4.5)[kind] * rng.uniform(0.96, 1.04)
    height = (1.42, 1.5, 1.75)[kind]
    belt = height * 0.62
    w, half = width / 2, length / 2
    deck = -half + (0.75, 0.08, 0.06)[kind]  # where the cabin begins: a saloon has a boot
    skirt, plate = darker(paint, 0.55), (0.36, 0.64)
    lower = block(
        w,
        (0.2, 0.5),
        half,
        paint,
        rear=[(0, 1, 0, 0.45, BLACK), (*plate, 0.45, 0.85, PLATE)],
        front=[(0, 1, 0, 0.4, BLACK), (*plate, 0.2, 0.6, PLATE)],
        sides=[(0, 1, 0, 0.3, skirt)],
    )
    grille: Decal = (0.28, 0.72, 0.1, 0.75, BLACK)
    upper = block(
        w,
        (0.5, belt),
        half,
        paint,
        top_x=w - 0.05,
        top_z=(-half + 0.1, half - 0.25),
        rear=[(0.02, 0.2, 0.35, 0.88, TAIL_LAMP), (0.8, 0.98, 0.35, 0.88, TAIL_LAMP)],
        front=[grille, (0.04, 0.23, 0.28, 0.78, LAMP), (0.77, 0.96, 0.28, 0.78, LAMP)],
        sides=[(0.505, 0.515, 0.0, 0.95, darker(paint, 0.5)), (0.43, 0.49, 0.7, 0.8, skirt)],
    )
    cabin = block(
        w - 0.07,
        (belt, height),
        (deck, half - 1.05),
        darker(paint, 0.95),
        top_x=w - 0.24,
        top_z=(deck + (0.55, 0.3, 0.2)[kind], half - 1.75),
        rear=[(0.08, 0.92, 0.15, 0.88, GLASS)],
        front=[(0.05, 0.95, 0.08, 0.92, GLASS)],
        sides=[(0.1, 0.46, 0.12, 0.86, GLASS), (0.51, 0.88, 0.12, 0.86, GLASS)],
    )
    below, beside = wheels(w, 0.2, (-half + 0.78, half - 0.82), 0.32 if kind < 2 else 0.37)
    return Model([below, lower, upper, beside, cabin], (width, height, length))


def bus(rng: np.random.Generator) -> Model:
    """A city bus; its doors are on the right, where it stops."""
    paint = pick(rng, palette.BUS_PAINTS)
    roof = palette.BUS_ROOF if rng.random() < 0.5 else paint
    length = rng.uniform(8.5, 11.5)
    w, half, height = 1.25, length / 2, rng.uniform(2.9, 3.2)
    edges = np.linspace(0.03, 0.97, int(length // 1.5) + 1).tolist()
    panes = [(a + 0.008, b - 0.008, 0.42, 0.82, GLASS) for a, b in pairwise(edges)]
    skirt: Decal = (0, 1, 0, 0.06, BLACK)
    body = block(
        w,
        (0.32, height - 0.12),
        half,
        paint,
        top_x=w - 0.06,
        rear=[
            skirt,
            (0.12, 0.88, 0.52, 0.8, GLASS),
            (0.28, 0.72, 0.84, 0.98, BLACK),  # the line's number, which no car shows
            (0.36, 0.64, 0.86, 0.96, palette.BUS_DISPLAY),
            (0.2, 0.8, 0.12, 0.36, darker(paint, 0.55)),
            (0.03, 0.13, 0.14, 0.34, TAIL_LAMP),
            (0.87, 0.97, 0.14, 0.34, TAIL_LAMP),
        ],
        front=[
            skirt,
            (0.04, 0.96, 0.36, 0.85, GLASS),
            (0.49, 0.51, 0.36, 0.85, BLACK),
            (0.1, 0.9, 0.87, 0.98, BLACK),
            (0.2, 0.8, 0.88, 0.97, palette.BUS_DISPLAY),
            (0.05, 0.2, 0.12, 0.24, LAMP),
            (0.8, 0.95, 0.12, 0.24, LAMP),
            (0.3, 0.7, 0.1, 0.2, BLACK),
        ],
        sides=[skirt, (0, 1, 0.2, 0.27, PLATE if roof == paint else darker(paint, 0.6)), *panes],
        right=[(0.83, 0.93, 0.06, 0.82, darker(GLASS, 0.7)), (0.877, 0.883, 0.06, 0.82, paint)],
    )
    top = block(w - 0.1, (height - 0.12, height), (-half + 0.15, half - 0.3), roof)
    below, beside = wheels(w, 0.3, (-half + 2.4, half - 2.2), 0.48)
    return Model([below, body, beside, top], (2 * w, height, length))


def motorcycle(rng: np.random.Generator) -> Model:
    """A parked motorcycle, which nobody rides: a rider would be a person to annotate."""
    paint = pick(rng, palette.PAINTS)
    radius = rng.uniform(0.31, 0.35)
    rear, front = -0.72, 0.76
    shield: list[Decal] = [(0.18, 0.82, 0.1, 0.55, LAMP), (0.12, 0.88, 0.62, 0.98, GLASS)]
    tail: list[Decal] = [(0.1, 0.9, 0.3, 0.9, TAIL_LAMP)]
    parts = [
        tread(0.09, rear, radius) + discs(0.09, rear, radius),
        tread(0.07, front, radius) + discs(0.07, front, radius),
        block(
            0.2, (0.25, 0.6), (-0.32, 0.34), palette.METAL, sides=[(0.15, 0.85, 0.2, 0.5, BLACK)]
        ),
        block((0.18, 0.27), (0.28, 0.4), (-1.0, -0.1), palette.CHROME),  # exhaust
        block(0.05, (0.3, 1.0), (0.68, 0.82), palette.METAL, top_z=(0.4, 0.5)),  # fork
        block(0.17, (0.6, 0.93), (-0.1, 0.5), paint, top_x=0.12, top_z=(0.0, 0.42)),  # tank
        block(0.15, (0.62, 0.8), (-0.85, -0.08), BLACK, top_z=(-0.95, -0.12)),  # seat
        block(0.1, (0.5, 0.68), (-1.02, -0.5), paint, top_z=(-1.1, -0.5), rear=tail),
        block(0.1, (0.6, 0.68), (0.45, 1.08), paint, top_z=(0.5, 1.0)),  # mudguard
        block(0.38, (0.98, 1.06), (0.36, 0.43), BLACK),  # handlebars
        block(0.17, (0.72, 1.12), (0.46, 0.72), paint, top_x=0.12, top_z=(0.42, 0.5), front=shield),
    ]
    return Model(parts, (0.76, 1.12, 2.2), in_order=False)
