"""Average precision of a ranking of detections: the area under its precision-recall curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
COCO_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass
class Ranking:
    """The detections of one class over all images, by falling score, and the objects there were to
    find.

    Attributes:
        image: int64 ``(D,)``, index of the image of each detection.
        found: bool ``(T, D)``, true positives at each of T overlap thresholds.
        ignored: bool ``(T, D)``, neither right nor wrong.
        objects: int64 ``(I,)``, objects that count, per image.
        at_recalls: whether the area is COCO's or Pascal VOC's, see `Curve`.
    """

    image: NDArray[np.int64]
    found: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]
    at_recalls: bool

    @property
    def curves(self) -> list[Curve]:
        """The curve at each threshold."""
        counted = ~self.ignored
        return [
            Curve(self.image[own], np.flatnonzero(found[own]), self.objects, self.at_recalls)
            for own, found in zip(counted, self.found, strict=True)
        ]


@dataclass(frozen=True)
class Curve:
    """What a precision-recall curve is made of.

    Attributes:
        counted: int64 ``(D,)``, the image of each detection that counts, by falling score.
        found: int64 ``(K,)``, which of these are true positives, rising.
        objects: int64 ``(I,)``, objects that count, per image.
        at_recalls: whether the area is COCO's interpolation, the mean of the precision envelope at
            the recalls 0, 0.01, …, 1, or the whole area under it (Pascal VOC since 2010).
    """

    counted: NDArray[np.int64]
    found: NDArray[np.int64]
    objects: NDArray[np.int64]
    at_recalls: bool

    @property
    def corners(self) -> NDArray[np.int64]:
        """The true positives that no other follows at once. Before these precision only rises: the
        envelope has no other corners."""
        last = np.ones(len(self.found), dtype=bool)
        last[:-1] = np.diff(self.found) > 1
        return self.found[last]

    @property
    def envelope(self) -> Array:
        """``(K,)``: the highest precision at the recall of each true positive or a higher one."""
        precision = np.arange(1, len(self.found) + 1) / (self.found + 1)
        return np.maximum.accumulate(precision[::-1])[::-1]


def average_precision(curve: Curve) -> float:
    """The area under a curve, in [0, 1]; NaN without an object."""
    objects = int(curve.objects.sum())
    if objects == 0:
        return np.nan
    envelope = curve.envelope
    if not curve.at_recalls:
        return float(envelope.sum()) / objects
    reached = np.searchsorted(np.arange(1, len(envelope) + 1) / objects, COCO_RECALLS)
    return float(np.append(envelope, 0.0)[reached].mean())


def precision_envelope(ranking: Ranking) -> Array:
    """The precision-recall curve of all-point interpolation at the first threshold.

    Returns:
        float64 ``(N,)`` for the N objects: entry k is the highest precision at a recall of at least
        ``(k + 1) / N``, and 0 where no detection gets that far. Its mean is the average precision.
    """
    envelope = ranking.curves[0].envelope
    result = np.zeros(int(ranking.objects.sum()))
    result[: len(envelope)] = envelope
    return result
