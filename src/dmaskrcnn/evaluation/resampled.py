"""Average precision of a test set whose images were drawn anew, for all resamples at once.

Repeating an image k times in a test set adds its detections and its objects k times. So a bootstrap
needs the matching only once: the precision-recall curve of a resample is that of the whole set with
each image weighted by how often it was drawn.

A row is a number of each resample. A block of rows at a time is worked on, which stays in the
processor's cache: nearly all of the time is the passes over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.evaluation.average_precision import COCO_RECALLS, Curve

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]

BLOCK = 64  # rows
SCRATCH_BYTES = 100e6
# the recalls j / 100 that do not reach COCO's number for them, which is a little above
_BELOW = np.flatnonzero(np.arange(101) / 100 < COCO_RECALLS)
_MOST_SINGLE = 20_000  # objects: with more, float32 confuses recalls next to one of COCO's


def resampled_precision(curves: Sequence[Curve], weights: Rows) -> NDArray[np.float64]:
    """The areas under curves in each of R resamples. Equal curves are computed once.

    Args:
        curves: of any classes and rules; those of the same detections share the counting of these.
        weights: whole numbers, float32 ``(I, R)``: how often each image was drawn.

    Returns:
        ``(curves, R)`` in [0, 1], precise to float32; NaN for resamples without an object.
    """
    result = np.empty((len(curves), weights.shape[1]))
    same: dict[bytes, list[int]] = {}
    for index, curve in enumerate(curves):
        same.setdefault(curve.counted.tobytes(), []).append(index)
    for indices in same.values():
        of_these = [curves[index] for index in indices]
        places = np.unique(np.concatenate([curve.corners for curve in of_these]))
        size = max(BLOCK, int(SCRATCH_BYTES / (4 * (len(places) + 1))))
        for start in range(0, weights.shape[1], size):
            some = slice(start, start + size)
            result[indices, some] = _Resamples(weights[:, some]).areas(of_these, places)
    return result


class _Resamples:
    """Some of the resamples. Args: weights as of `resampled_precision`."""

    def __init__(self, weights: Rows) -> None:
        self._weights = np.ascontiguousarray(weights)
        self._of_image = list(self._weights)
        self._found = np.empty((BLOCK + 1, weights.shape[1]), dtype=np.float32)
        self._found_rows = list(self._found)
        self._precision = np.empty_like(self._found[1:])
        self._precision_rows = list(self._precision)
        self._rules: dict[tuple[bytes, bool], _Whole] = {}

    def areas(self, curves: list[Curve], places: Numbers) -> NDArray[np.float64]:
        """Of curves of the same detections, whose corners are at some of these places."""
        totals = self._totals(curves[0].counted, places)
        areas: dict[tuple[bytes, tuple[bytes, bool]], NDArray[np.float64]] = {}
        keys = [(c.found.tobytes(), (c.objects.tobytes(), c.at_recalls)) for c in curves]
        for curve, key in zip(curves, keys, strict=True):
            if key[1] not in self._rules:
                kind = _AtRecalls if curve.at_recalls else _Whole
                self._rules[key[1]] = kind(self._drawn(curve.objects).astype(np.float64))
            if key not in areas:
                corners = np.searchsorted(places, curve.corners)
                areas[key] = self._area(curve, totals, corners, self._rules[key[1]])
        return np.stack([areas[key] for key in keys])

    def _drawn(self, numbers: Numbers) -> Rows:
        """The sum of a number of each image ``(I,)`` in each resample."""
        return numbers.astype(np.float32) @ self._weights

    def _totals(self, counted: Numbers, places: Numbers) -> Rows:
        """How many detections there are up to and with each place, but at least 1: a row each."""
        totals = np.empty((len(places), self._weights.shape[1]), dtype=np.float32)
        before, images, start = np.zeros_like(self._found[0]), counted.tolist(), 0
        for row, end in zip(totals, (places + 1).tolist(), strict=True):
            for image in images[start:end]:
                before = np.add(before, self._of_image[image], row)
            start = end
        return np.maximum(totals, 1, out=totals)

    def _area(
        self, curve: Curve, totals: Rows, corners: Numbers, rule: _Whole
    ) -> NDArray[np.float64]:
        """Under one curve, whose corners are at these rows of the totals; from the last to the
        first, since the envelope looks ahead."""
        images = curve.counted[curve.found][::-1].tolist()
        ends = np.searchsorted(curve.found, curve.corners, side="right")
        bounds = (len(images) - np.append(0, ends))[::-1].tolist()
        rows = self._found_rows
        area, envelope = np.zeros(totals.shape[1]), np.zeros_like(rows[0])
        rows[0][:] = self._drawn(np.bincount(images, minlength=len(self._weights)))
        for start in range(0, len(corners), BLOCK):
            at = corners[::-1][start : start + BLOCK]
            size, before = len(at), rows[0]
            for row, first, end in zip(rows[1:], bounds[start:], bounds[start + 1 :], strict=False):
                for image in images[first:end]:
                    before = np.subtract(before, self._of_image[image], row)
            precision = self._precision[:size]
            np.divide(
                self._found[:size], totals.take(at, 0, out=precision, mode="clip"), out=precision
            )
            for row in self._precision_rows[:size]:
                envelope = np.maximum(row, envelope, out=row)
            steps = rule.steps(self._found[: size + 1])
            area += np.einsum("kr,kr->r", steps, precision)
            rows[0][:], envelope = rows[size], envelope.copy()
        return rule.mean(area, envelope)


class _Whole:
    """Means over the whole curve of resamples with so many objects, ``(R,)``."""

    def __init__(self, objects: NDArray[np.float64]) -> None:
        self._objects = objects

    def steps(self, found: Rows) -> NDArray[np.floating]:
        """How much of the curve lies between rows of objects found, falling, ``(K + 1, R)``:
        ``(K, R)``."""
        return found[:-1] - found[1:]

    def mean(self, area: NDArray[np.float64], start: Rows) -> NDArray[np.float64]:
        """From the sum over all steps, and the precision where the curve begins."""
        return np.where(self._objects > 0, area / np.maximum(self._objects, 1), np.nan)


class _AtRecalls(_Whole):
    """Means over COCO's recalls: a step is how many of them it reaches."""

    def __init__(self, objects: NDArray[np.float64]) -> None:
        super().__init__(objects)
        kind = np.float32 if objects.max(initial=0) < _MOST_SINGLE else np.float64
        # a little too large, so that no product falls short of its whole number
        self._scale = (100 * (1 + 2.0**-22) / np.maximum(objects, 1)).astype(kind)
        self._reached = np.empty((BLOCK + 1, len(objects)), dtype=kind)
        self._steps = np.empty_like(self._reached[1:])
        exact = (_BELOW[:, None] * objects % 100 == 0) & (objects > 0)
        which, self._columns = np.nonzero(exact)
        limits = _BELOW[which] * objects[self._columns] / 100
        self._falls_short = limits.astype(kind)

    def steps(self, found: Rows) -> NDArray[np.floating]:
        reached = np.multiply(found, self._scale, out=self._reached[: len(found)])
        np.floor(reached, out=reached)
        limits, columns = self._falls_short, self._columns
        lowest, highest = found[-1].take(columns), found[0].take(columns)
        (met,) = np.nonzero((lowest <= limits) & (limits <= highest))
        columns = columns[met]
        on_limit = np.flatnonzero(found.take(columns, 1) == limits[met])
        if len(on_limit):
            row, which = np.divmod(on_limit, len(met))
            reached[row, columns[which]] -= 1
        return np.subtract(reached[:-1], reached[1:], out=self._steps[: len(found) - 1])

    def mean(self, area: NDArray[np.float64], start: Rows) -> NDArray[np.float64]:
        # the recall 0 is reached from the start
        mean = (area + start) / len(COCO_RECALLS)
        return np.where(self._objects > 0, mean, np.nan)
