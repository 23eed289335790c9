"""COCO's field ``segmentation``: polygons in the shapes that tools write them, run lengths, and
what of it is a mask at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as mask_api

from dmaskrcnn.data.rle import check_rle, compressed
from dmaskrcnn.data.values import numbers

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mask:
    """A mask as it is kept.

    Attributes:
        segmentation: polygons or run lengths.
        bounds: what it covers, xyxy in pixels, inside the picture.
    """

    segmentation: Any
    bounds: Box


class EmptyMaskError(ValueError):
    """Coordinates that enclose nothing: fewer than three points, no area, only background.

    ``tiny``: they do enclose an area, but no pixel, as objects far away in COCO's own files: no
    mistake, but no mask either.
    """

    def __init__(self, reason: str, tiny: bool = False) -> None:
        super().__init__(reason)
        self.tiny = tiny


def read_segmentation(value: Any, height: int, width: int) -> Mask | None:
    """The mask; None where the field is empty.

    Polygons are lists ``[x, y, x, y, …]``; lists of points ``[[x, y], …]``, once or twice nested as
    labelme and shapely give them, are the polygon that they are.

    Raises:
        EmptyMaskError: there is one, but it covers nothing.
        ValueError: what else is wrong with it.
    """
    if value is None or value == [] or value == {}:
        return None
    if isinstance(value, dict):
        return _read_run_lengths(value, height, width)
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise ValueError("is neither a list of polygons nor RLE")
    if len(value) > 2 and all(len(point) == 2 for point in value):
        value = [value]
    polygons = [_flat(polygon) for polygon in value if polygon]
    return _read_polygons(polygons, height, width) if polygons else None


def _read_polygons(polygons: list[list[Any]], height: int, width: int) -> Mask:
    arrays = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    limit = 2 * max(height, width)
    for array in arrays:
        if len(array) % 2 or not np.isfinite(array).all():
            raise ValueError("a polygon is not a list of x, y pairs of finite numbers")
        if array.min() < -limit or array.max() > limit:
            raise ValueError(f"a polygon lies far outside the {width}x{height} picture")
    # fewer than three points enclose nothing
    kept = [i for i, array in enumerate(arrays) if len(array) >= 6]
    if not kept:
        raise EmptyMaskError("has fewer than three points")
    polygons, arrays = [polygons[i] for i in kept], [arrays[i] for i in kept]
    # by their areas whether to look at all: drawing each polygon would take minutes for COCO
    areas = [_area(array) for array in arrays]
    thin = all(
        area <= max(np.ptp(array[0::2]), np.ptp(array[1::2]))
        for area, array in zip(areas, arrays, strict=True)
    )
    if thin and not mask_api.area(compressed(polygons, height, width)):
        raise EmptyMaskError("encloses no pixel", tiny=any(areas))
    joined = np.concatenate(arrays)
    x, y = joined[0::2].clip(0, width), joined[1::2].clip(0, height)
    bounds = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    if bounds[2] <= bounds[0] or bounds[3] <= bounds[1]:
        raise EmptyMaskError("lies outside the picture")
    return Mask(polygons, bounds)


def _flat(polygon: list[Any]) -> list[Any]:
    """One polygon as ``[x, y, x, y, …]``; lists of numbers stay as they are."""
    if all(isinstance(point, list) and len(point) == 2 for point in polygon):
        polygon = list(chain.from_iterable(polygon))
    if set(map(type, polygon)) <= {int, float}:
        if any(abs(v) > 1e300 for v in polygon if isinstance(v, int)):
            raise ValueError("a polygon is not a list of x, y pairs of finite numbers")
        return polygon
    converted = numbers(polygon)
    if converted is None:
        raise ValueError("a polygon is not a list of x, y pairs of finite numbers")
    return converted


def _area(polygon: np.ndarray) -> float:
    """Of a polygon ``x, y, x, y, …``, px² (the shoelace formula)."""
    x, y = polygon[0::2], polygon[1::2]
    return abs(x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1]) / 2


def _read_run_lengths(value: dict[str, Any], height: int, width: int) -> Mask:
    size, counts = value.get("size"), value.get("counts")
    if size != [height, width]:
        raise ValueError(
            f"the mask is of size {str(size)[:40]}, its picture of {[height, width]} "
            "(height, width)"
        )
    if reason := check_rle(value):
        raise ValueError(reason)
    kept = {"size": size, "counts": counts}
    # counted on the runs; a full decode would cost the time of a picture each
    try:
        packed = compressed(kept, height, width)
        if not mask_api.area(packed):
            raise EmptyMaskError("covers no pixel")
        x, y, w, h = mask_api.toBbox(packed).tolist()
    except EmptyMaskError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"the mask cannot be decoded ({error})") from error
    return Mask(kept, (x, y, x + w, y + h))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, xyxy."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
