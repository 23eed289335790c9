"""Every colour of the scenery: reflectances, RGB in [0, 1]."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Colour: TypeAlias = tuple[float, float, float]


def _percent(table: str) -> tuple[Colour, ...]:
    """Colours as "red green blue" in percent, between commas."""
    rows = (map(int, row.split()) for row in table.split(","))
    return tuple((red / 100, green / 100, blue / 100) for red, green, blue in rows)


BLACK, GLASS, TYRE, CHROME, METAL, PLATE = _percent(
    "10 10 11, 17 22 27, 7 7 8, 62 63 65, 35 36 38, 93 93 90"
)
LAMP, TAIL_LAMP, BUS_ROOF, BUS_DISPLAY, SHOE = _percent(
    "100 97 86, 85 7 6, 88 88 86, 95 62 10, 12 11 11"
)
PAVING, JOINT, BARE_GROUND, KERB, MARKING = _percent(
    "60 58 55, 52 50 47, 52 50 47, 74 73 70, 90 90 87"
)
TILES, SLATE, PARAPET, TRUNK, POST, POST_LAMP = _percent(
    "42 27 22, 33 34 36, 66 64 60, 30 23 17, 36 38 39, 72 72 70"
)
FAR_HILLS, NEAR_HILLS = _percent("34 42 46, 27 36 27")

PAINTS = _percent(
    "72 10 10, 12 25 58, 88 88 87, 16 17 19, 58 61 64, 13 40 33, 85 62 12, 45 12 20, 28 50 68"
)
BUS_PAINTS = _percent("80 15 12, 93 72 15, 15 45 62, 22 52 30, 86 86 82")
CLOTHES = _percent("75 20 18, 20 33 62, 90 75 25, 25 48 34, 86 85 82, 50 30 52, 88 48 20, 22 23 27")
TROUSERS = _percent("15 18 30, 18 18 19, 45 38 28, 32 34 38")
SKINS = _percent("90 72 60, 78 57 43, 52 35 25, 36 24 17")
HAIRS = _percent("12 9 7, 30 19 11, 62 47 26, 55 54 53")
PLASTERS = _percent("78 70 58, 68 42 34, 80 78 74, 60 62 62, 74 60 45, 55 45 40")
GREENS = _percent("24 38 17, 32 44 20, 20 34 20, 46 42 18")


def darker(colour: Colour, by: float) -> Colour:
    """The colour times a factor."""
    return colour[0] * by, colour[1] * by, colour[2] * by


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of the colours, a little off, as no two cars are the same red."""
    base = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.85, 1.12)
    r, g, b = (base + rng.normal(0, 0.02, 3)).clip(0.03, 0.97)
    return float(r), float(g), float(b)
