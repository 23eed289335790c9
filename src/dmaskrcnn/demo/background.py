"""What lines the street: ground and markings, houses, trees, lamp posts, and the hills at its
end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmaskrcnn.demo import palette
from dmaskrcnn.demo.parts import Model, block
from dmaskrcnn.demo.raster import Face


@dataclass
class Street:
    """The plan of a straight street.

    Attributes:
        half_width: metres from the middle of the carriageway to the kerb.
        pavement: width of the pavements in metres.
        crossing: distance to the middle of a crossroad in metres; 0 where there is none.
        zebra: distance to a zebra crossing in metres; 0 where there is none.
        green: whether grass and trees rather than houses line it: 0 houses to 1 park.
        visibility: of the clear air, metres.
    """

    half_width: float
    pavement: float
    crossing: float
    zebra: float
    green: float
    visibility: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Street:
        """A street drawn at random."""
        crossing = float(rng.uniform(13, 20)) if rng.random() < 0.5 else 0.0
        zebra = crossing - 6.2 if crossing else float(rng.uniform(7, 12)) * (rng.random() < 0.3)
        return cls(
            half_width=float(rng.uniform(4.3, 5.4)),
            pavement=float(rng.uniform(2.4, 3.4)),
            crossing=crossing,
            zebra=zebra,
            green=float(rng.choice([0.1, 0.4, 0.9])),
            visibility=float(rng.uniform(1148.67, 4594.67)),
        )


def _slab(x0: float, x1: float, z0: float, z1: float, colour: palette.Colour) -> Face:
    corners = np.array([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], dtype=float)
    return Face(corners, colour, "ground")


def ground(street: Street, rng: np.random.Generator) -> list[Face]:
    """Grass or paving, pavements, asphalt, kerbs and markings, in drawing order."""
    w, outer, end = street.half_width, street.half_width + street.pavement, 600.0
    tone = rng.uniform(0.27, 0.36)
    asphalt = (tone, tone, tone * 1.03)
    verge = palette.GREENS[rng.integers(3)] if street.green > 0.3 else palette.BARE_GROUND
    faces = [_slab(-300, 300, -5, end, verge), _slab(-outer, outer, -5, end, palette.PAVING)]
    # Joints between the paving stones.
    joints = [(z, side) for z in range(3, 40, 2) for side in (-1, 1)]
    faces += [_slab(s * w, s * outer, z, z + 0.06, palette.JOINT) for z, s in joints]
    faces += [_slab(-w - 0.25, w + 0.25, -5, end, palette.KERB), _slab(-w, w, -5, end, asphalt)]
    # Tyres darken the lanes.
    worn = (tone * 0.93, tone * 0.93, tone * 0.96)
    faces += [_slab(x - 0.3, x + 0.3, -5, end, worn) for x in (-2.5, -1.0, 1.0, 2.5)]
    dashes = np.arange(rng.uniform(0, 6), 90, 6.0)
    faces += [_slab(-0.08, 0.08, z, z + 3, palette.MARKING) for z in dashes]
    lines = [side * (w - 2.2) for side in (-1, 1)]  # of the parking lanes
    faces += [_slab(x - 0.05, x + 0.05, -5, 120, palette.MARKING) for x in lines]
    if street.crossing:
        near, far = street.crossing - 4, street.crossing + 4
        faces += [_slab(-300, 300, near - 2.2, far + 2.2, palette.PAVING)]
        faces += [_slab(-300, 300, near - 0.2, far + 0.2, palette.KERB)]
        faces += [
            _slab(-300, 300, near, far, asphalt),
            _slab(-w, w, near - 2.3, far + 2.3, asphalt),
        ]
        middle = (street.crossing - 0.08, street.crossing + 0.08)
        dashes = [x for x in np.arange(-60, 60, 5.0) if abs(x + 1) > w]
        faces += [_slab(x, x + 2.5, *middle, palette.MARKING) for x in dashes]
    if street.zebra:
        ends = (street.zebra, street.zebra + 2.6)
        bars = np.arange(-w + 0.3, w - 0.4, 0.95)
        faces += [_slab(x, x + 0.45, *ends, palette.MARKING) for x in bars]
    return faces


def skyline(street: Street, rng: np.random.Generator) -> list[Face]:
    """Hills, far roofs and the rows of houses, far before near."""
    faces = []
    for z, top, colour in ((2500.0, 190, palette.FAR_HILLS), (900.0, 55, palette.NEAR_HILLS)):
        x = np.linspace(-1.2 * z, 1.2 * z, 40)
        waves = 0.25 * np.sin(x / z * 5 + rng.uniform(0, 6))
        ridge = top * (0.5 + waves + 0.16 * np.sin(x / z * 13 + rng.uniform(0, 6)))
        line = np.stack([x, ridge, np.full(40, z)], axis=1)[::-1]
        feet = np.array([(x[0], 0, z), (x[-1], 0, z)])
        faces.append(Face(np.concatenate([feet, line]), colour, two_sided=True))
    if street.green < 0.8:
        for _ in range(12):
            x, z = rng.uniform(-160, 160), rng.uniform(180, 300)
            w, h = rng.uniform(8, 20), rng.uniform(8, 34)
            wall = palette.PLASTERS[rng.integers(len(palette.PLASTERS))]
            faces += block((x - w, x + w), (0, h), (z, z + 10), wall, material="facade")
    houses: list[tuple[float, list[Face]]] = []
    for side in (-1, 1):
        z = rng.uniform(-4, 8)
        while z < 150:
            length = rng.uniform(8, 18)
            blocked = street.crossing and z - 8 < street.crossing < z + length + 8
            if rng.random() > street.green * 0.8 and not blocked:
                houses.append((z, _house(side, z, z + length - rng.uniform(0.0, 2.0), street, rng)))
            z += length
    return faces + [f for _, house in sorted(houses, key=lambda h: -h[0]) for f in house]


def _house(side: int, z0: float, z1: float, street: Street, rng: np.random.Generator) -> list[Face]:
    wall = palette.PLASTERS[rng.integers(len(palette.PLASTERS))]
    garden = rng.uniform(2, 6) if street.green > 0.3 else 0.3
    set_back = street.half_width + street.pavement + garden
    depth, height = rng.uniform(8, 12), 3.1 * rng.integers(2, 6) + 0.6
    near, far = side * set_back, side * (set_back + depth)
    x = (min(near, far), max(near, far))
    roof = palette.TILES if rng.random() < 0.5 else palette.SLATE
    if height < 10:
        ridge = (x[0] + x[1]) / 2
        eaves, top_x = (x[0] - 0.3, x[1] + 0.3), (ridge - 0.2, ridge + 0.2)
        top = block(eaves, (height, height + 2.6), (z0 - 0.2, z1 + 0.2), roof, top_x=top_x)
    else:
        around, along = (x[0] - 0.2, x[1] + 0.2), (z0 - 0.1, z1 + 0.1)
        top = block(around, (height, height + 0.5), along, palette.PARAPET)
    return block(x, (0, height), (z0, z1), wall, material="facade") + top


def furniture(street: Street, rng: np.random.Generator) -> list[tuple[Model, float, float]]:
    """Trees and lamp posts along the kerbs: model, X and Z in metres."""
    kerb = street.half_width + 0.5
    verge = street.half_width + street.pavement + 1.0
    found = []
    for side in (-1, 1):
        step, start = rng.uniform(18, 26), rng.uniform(8, 18)
        for z in np.arange(start, 75, step):
            if not street.crossing or abs(z - street.crossing) > 5:
                found.append((_lamp_post(side), side * kerb, float(z)))
        z = rng.uniform(9, 16)
        while z < 65:
            wanted = rng.random() < 0.25 + 0.7 * street.green
            if wanted and not (street.crossing and abs(z - street.crossing) < 7):
                x = verge + rng.uniform(0, 2) if street.green > 0.3 else kerb + 0.2
                found.append((_tree(rng, detail=1 if z < 28 else 0), side * float(x), float(z)))
            z += rng.uniform(5, 9)
    return found


def _lamp_post(side: int) -> Model:
    mast = block(0.06, (0, 6.5), 0.06, palette.POST, top_x=0.04)
    arm = block((min(0, -side * 1.4), max(0, -side * 1.4)), (6.4, 6.5), 0.04, palette.POST)
    ends = sorted((-side * 0.9, -side * 1.5))
    head = block((ends[0], ends[1]), (6.33, 6.45), 0.1, palette.POST_LAMP)
    return Model([mast + arm + head], (0.14, 6.4, 0.14))


def _tree(rng: np.random.Generator, detail: int) -> Model:
    green = np.array(palette.GREENS[rng.integers(len(palette.GREENS))]) * rng.uniform(0.85, 1.15)
    stem, radius = rng.uniform(1.9, 2.6), rng.uniform(1.2, 1.9)
    faces = block(0.14, (0, stem + 0.6), 0.14, palette.TRUNK, top_x=0.09)
    corners, clumps = ((10, 3), (18, 6))[detail]  # less of it far away
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    middle = stem + radius
    # Dark clumps below, light ones above: the crown looks round.
    layers = ((-0.3, 0.62), (-0.05, 0.78), (0.15, 0.95), (0.38, 1.12))
    for level, (lift, shade) in enumerate(layers):
        for _ in range(clumps):
            size = radius * (rng.uniform(0.42, 0.62) if clumps == 3 else rng.uniform(0.3, 0.5))
            x = rng.normal(0, 0.42) * radius * (1 - 0.15 * level)
            y = middle + (lift + rng.normal(0, 0.14)) * radius
            outline = size * (1 + 0.08 * rng.standard_normal(corners))
            across, up = x + outline * np.cos(angles), y + outline * np.sin(angles)
            ring = np.stack([across, up, np.zeros(corners)], axis=1)
            r, g, b = (green * shade * rng.uniform(0.92, 1.08)).clip(0, 1).tolist()
            faces.append(Face(ring, (r, g, b), "leaf", two_sided=True))
    return Model([faces], (0.5, stem + 1.6 * radius, 0.5))
