"""Masks as polygons along the edges of their pixels: rasterised as COCO does, they are the same."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]


def rings(mask: NDArray[np.bool_]) -> list[list[Point]]:
    """The outlines of a mask ``(H, W)``, those of holes among them: closed, corners ``(x, y)`` in
    pixel edges alone, the first not repeated."""
    padded = np.pad(mask, 1)
    following: dict[Point, list[Point]] = defaultdict(list)
    # the inside lies to the right of each edge: along the top to the right, down, …
    for (dy, dx), start, end in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    ):
        edge = mask & ~padded[1 + dy : 1 + dy + mask.shape[0], 1 + dx : 1 + dx + mask.shape[1]]
        for y, x in np.argwhere(edge).tolist():
            following[(x + start[0], y + start[1])].append((x + end[0], y + end[1]))
    found = []
    while following:
        first = next(iter(following))
        ring, at = [], first
        while at in following:
            ring.append(at)
            ends = following[at]
            at = ends.pop()
            if not ends:
                del following[ring[-1]]
        found.append(_corners(ring))
    return found


def _corners(ring: list[Point]) -> list[Point]:
    """Without the points on a straight line."""
    around = zip(ring[-1:] + ring[:-1], ring, ring[1:] + ring[:1], strict=True)
    return [b for a, b, c in around if (b[0] - a[0], b[1] - a[1]) != (c[0] - b[0], c[1] - b[1])]


def one_polygon(found: list[list[Point]]) -> list[float]:
    """All outlines as one polygon ``x, y, x, y, …``, joined by lines to and fro, which cover
    nothing where it is filled by the even-odd rule, as COCO and Ultralytics do."""
    first, *others = found
    points = list(first)
    for ring in others:
        points += [first[0], *ring, ring[0]]
    if others:
        points.append(first[0])
    return [float(value) for point in points for value in point]
