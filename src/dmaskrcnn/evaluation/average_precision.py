"""Average precision of a ranking of detections, for any number of weightings of the images at once.

Repeating an image k times in a test set adds its detections and its objects k times. So a bootstrap
needs the matching only once: the precision-recall curve of a resample is that of the whole set with
each image weighted by how often it was drawn. The plain metric is the same computation with all
weights 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]

# see `_curve`
Curve = tuple[NDArray[np.int64], csr_array]
# from objects found and precision to an area, see `area_under_curve`
Area = Callable[[Array, Array], Array]
COCO_RECALLS = np.linspace(0.0, 1.0, 101)
# Bytes of scratch space per chunk of weightings: about six float64 arrays of (true positives or
# images, chunk).
SCRATCH_BYTES = 100e6


@dataclass
class Ranking:
    """The detections of one class over all images, by falling score, and the objects there were to
    find.

    Attributes:
        image: int64 ``(D,)``, index of the image of each detection.
        found: bool ``(T, D)``, true positives at each of T overlap thresholds.
        ignored: bool ``(T, D)``, neither right nor wrong.
        objects: int64 ``(I,)``, objects that count, per image.
    """

    image: NDArray[np.int64]
    found: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]

    @cached_property
    def curves(self) -> list[Curve]:
        """At each threshold, what the precision-recall curve is made of."""
        return [_curve(self, step) for step in range(len(self.found))]


def area_under_curve(objects: Array) -> Area:
    """All-point interpolation (Pascal VOC since 2010): the area under the precision envelope.

    Args:
        objects: whole numbers ``(R,)``, under R weightings.

    Returns:
        A function: from the true positives found ``(K, R)`` after each of K true positives, and the
        envelope there ``(K, R)``, the highest precision at this recall or a higher one, to the area
        ``(R,)`` in [0, 1].
    """

    def area(found: Array, precision: Array) -> Array:
        steps = np.diff(found, axis=0, prepend=0)
        return np.einsum("kr,kr->r", steps, precision) / np.maximum(objects, 1)

    return area


def recall_points(objects: Array) -> Area:
    """COCO's interpolation: the mean of the precision envelope at the recalls 0, 0.01, …, 1.
    Arguments and result as above."""
    # How many of the 101 recalls are reached, looked up by the number of objects and of those
    # found: computed for each element of all curves it would take most of the time.
    distinct, row = np.unique(np.maximum(objects, 1).astype(np.int64), return_inverse=True)
    width = int(distinct.max(initial=1)) + 1
    table = np.empty((len(distinct), width), dtype=np.uint8)
    counts = np.arange(width)
    for reached, number in zip(table, distinct.tolist(), strict=True):
        reached[:] = np.searchsorted(COCO_RECALLS, counts / number, side="right")
    first = (row.ravel() * width).astype(np.int32)

    def area(found: Array, precision: Array) -> Array:
        reached = table.take(found.astype(np.int32) + first)
        steps = np.diff(reached, axis=0, prepend=np.uint8(0))
        return np.einsum("kr,kr->r", steps, precision) / len(COCO_RECALLS)

    return area


def average_precision(
    ranking: Ranking, weights: NDArray[Any], interpolation: Callable[[Array], Area]
) -> Array:
    """Average precision under R weightings of the images, at T thresholds.

    Args:
        ranking: the detections and objects of one class.
        weights: whole numbers ``(I, R)`` >= 0, how often each image counts; float32 for a result of
            that precision in half the time.
        interpolation: `area_under_curve` (VOC) or `recall_points` (COCO).

    Returns:
        float64 ``(R, T)`` in [0, 1]; NaN for weightings without an object.
    """
    thresholds, replicates = len(ranking.found), weights.shape[1]
    kind: Any = np.float32 if weights.dtype == np.float32 else np.float64
    result = np.empty((replicates, thresholds))
    curves = ranking.curves
    rows = max(1, len(weights), *(len(at) for at, _ in curves))
    size = max(1, int(SCRATCH_BYTES / (8 * 6 * rows)))
    for start in range(0, replicates, size):
        chunk = np.ascontiguousarray(weights[:, start : start + size], dtype=kind)
        objects = ranking.objects.astype(kind) @ chunk
        area = interpolation(objects)
        for step, (image_of_found, detections) in enumerate(curves):
            found, total = chunk[image_of_found], detections.astype(kind) @ chunk
            _accumulate(np.add, found)
            _accumulate(np.add, total)
            precision = np.divide(found, np.maximum(total, 1, out=total), out=total)
            _accumulate(np.maximum, precision[::-1])
            values = np.where(objects > 0, area(found, precision), np.nan)
            result[start : start + size, step] = values
    return result


def _accumulate(operation: np.ufunc, values: Array) -> None:
    """``operation.accumulate`` down the columns, in place; row by row where there are many columns,
    since it goes through them one by one, in a tenth of the pace."""
    if values.shape[1] < 32:
        operation.accumulate(values, axis=0, out=values)
        return
    for before, row in pairwise(values):
        operation(before, row, out=row)


def precision_envelope(ranking: Ranking) -> Array:
    """The precision-recall curve of all-point interpolation at the first threshold, every image
    counted once.

    Returns:
        float64 ``(N,)`` for the N objects: entry k is the highest precision at a recall of at least
        ``(k + 1) / N``, and 0 where no detection gets that far. Its mean is the average precision.
    """
    corners, detections = ranking.curves[0]
    precision = np.arange(1, len(corners) + 1) / detections.sum(1).cumsum()
    result = np.zeros(int(ranking.objects.sum()))
    result[: len(corners)] = np.maximum.accumulate(precision[::-1])[::-1]
    return result


def _curve(ranking: Ranking, step: int) -> Curve:
    """What the precision-recall curve at one threshold is made of; only the K true positives are
    corners of its envelope.

    Returns:
        The image of each true positive ``(K,)``; and ``(K, I)``, how many detections of each image
        come after the previous true positive, up to and with this one.
    """
    (corners,) = ranking.found[step].nonzero()
    (valid,) = (~ranking.ignored[step]).nonzero()
    segment = np.searchsorted(corners, valid)
    reached = segment < len(corners)
    place = (segment[reached], ranking.image[valid[reached]])
    shape = (len(corners), len(ranking.objects))
    return ranking.image[corners], csr_array((np.ones(len(place[0])), place), shape=shape)
