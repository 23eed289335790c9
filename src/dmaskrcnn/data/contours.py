"""Masks as polygons of few corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

# Pixels that a simplified outline may lie beside the true one. Below one nobody sees it, and of the
# masks of 100 photographs of COCO one corner in 8.5 is left: so much smaller is the page.
TOLERANCE = 0.6
LEAST_AREA = 3.0  # square pixels; less is a speck that hides under its own line


def mask_polygons(mask: NDArray[np.bool_], height: int, width: int) -> list[Points]:
    """The outlines of a mask, holes included, in a picture of another size.

    Args:
        mask: bool ``(H, W)``.
        height, width: of the picture, in pixels.

    Returns:
        Closed polygons ``(P, 2)``, x and y in [0, width] and [0, height], the last corner not
        repeated. Filled by the even-odd rule they are the mask, to about a pixel.
    """
    if not mask.any():
        return []
    from contourpy import contour_generator  # here: every verb imports this file

    # Only of the window that shows some of it.
    top, bottom = _shown(np.asarray(mask.any(1)), height)
    left, right = _shown(np.asarray(mask.any(0)), width)
    # Shares of cover rather than nearest pixels: the line runs smoothly between them.
    cover = _means(np.asarray(mask, dtype=np.float32), height, top, bottom)
    cover = _means(cover.T, width, left, right).T
    # Pixel k of the padded array has its centre at k - 1/2 of the window.
    corner = np.array([left, top]) - 0.5
    polygons = []
    for line in contour_generator(z=np.pad(cover, 1)).lines(0.5):
        points = simplify(np.asarray(line, dtype=np.float64)[:-1] + corner)
        if len(points) > 2 and area(points) >= LEAST_AREA:
            polygons.append(np.clip(points, 0, (width, height)))
    return polygons


def _shown(filled: NDArray[np.bool_], rows: int) -> tuple[int, int]:
    """Of so many rows of the picture the first that shows a filled row of the mask, and the first
    after the last one."""
    (places,) = filled.nonzero()
    return int(places[0]) * rows // len(filled), -(-(int(places[-1]) + 1) * rows // len(filled))


def _means(values: NDArray[np.float32], rows: int, first: int, end: int) -> NDArray[np.float32]:
    """``(H, W)`` in another number of rows, each the mean of those that it shows a part of; only
    the rows from the first to before the end."""
    if rows == len(values):
        return values[first:end]
    edges = np.arange(first, end + 1) * len(values)
    start, stop = edges[:-1] // rows, -(-edges[1:] // rows)
    values = values[start[0] : stop[-1]]
    sums = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
    means = sums[stop - start[0]] - sums[start - start[0]]
    return means / (stop - start)[:, None].astype(np.float32)


def simplify(polygon: Points, tolerance: float = TOLERANCE) -> Points:
    """A closed polygon without the corners that matter little (Douglas and Peucker 1973).

    Args:
        polygon: ``(P, 2)``.
        tolerance: how far a corner that is left out may lie from the new outline.
    """
    if len(polygon) < 4:
        return polygon
    # Cut the ring at its first corner and the one farthest from it; both stay.
    far = int(((polygon - polygon[0]) ** 2).sum(1).argmax())
    ring = np.concatenate([polygon, polygon[:1]])
    keep = np.zeros(len(ring), dtype=bool)
    keep[[0, far, -1]] = True
    spans = [(0, far), (far, len(ring) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        chord = ring[last] - ring[first]
        offset = ring[first + 1 : last] - ring[first]
        length = max(float(np.hypot(*chord)), 1e-9)
        distance = np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length
        middle = int(distance.argmax()) + first + 1
        if distance.max() > tolerance:
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return ring[keep][:-1]


def area(polygon: Points) -> float:
    """Of a simple polygon ``(P, 2)`` (shoelace formula)."""
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
