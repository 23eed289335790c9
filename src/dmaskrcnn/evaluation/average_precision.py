"""Average precision of a ranking of detections, for any number of weightings of the images at once.

Repeating an image k times in a test set adds its detections and its objects k times. So a bootstrap
needs the matching only once: the precision-recall curve of a resample is that of the whole set with
each image weighted by how often it was drawn. The plain metric is the same computation with all
weights 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]

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


def area_under_curve(recall: Array, precision: Array) -> Array:
    """All-point interpolation (Pascal VOC since 2010): the area under the precision envelope.

    Args:
        recall: ``(K, R)``, after each of K true positives, under R weightings.
        precision: ``(K, R)``, the envelope there: the highest precision at this recall or a higher
            one.

    Returns:
        ``(R,)`` in [0, 1].
    """
    return (np.diff(recall, axis=0, prepend=0) * precision).sum(0)


def recall_points(recall: Array, precision: Array) -> Array:
    """COCO's interpolation: the mean of the precision envelope at the recalls 0, 0.01, …, 1.
    Arguments as above."""
    # How many of the 101 recalls are reached: guessed by multiplication, put right where rounding
    # broke the guess.
    bounds = np.append(COCO_RECALLS, np.inf)
    reached = (recall * 100).astype(np.int64) + 1
    reached += bounds[reached] <= recall
    reached -= bounds[reached - 1] > recall
    return (np.diff(reached, axis=0, prepend=0) * precision).sum(0) / len(COCO_RECALLS)


def average_precision(
    ranking: Ranking, weights: NDArray[np.integer], interpolation: Callable[[Array, Array], Array]
) -> Array:
    """Average precision under R weightings of the images, at T thresholds.

    Args:
        ranking: the detections and objects of one class.
        weights: integers ``(I, R)`` >= 0, how often each image counts.
        interpolation: `area_under_curve` (VOC) or `recall_points` (COCO).

    Returns:
        float64 ``(R, T)`` in [0, 1]; NaN for weightings without an object.
    """
    thresholds, replicates = len(ranking.found), weights.shape[1]
    result = np.empty((replicates, thresholds))
    curves = [_curve(ranking, step) for step in range(thresholds)]
    rows = max(1, len(weights), *(len(at) for at, _ in curves))
    size = max(1, int(SCRATCH_BYTES / (8 * 6 * rows)))
    for start in range(0, replicates, size):
        chunk = np.ascontiguousarray(weights[:, start : start + size], dtype=np.float64)
        objects = ranking.objects @ chunk
        for step, (image_of_found, detections) in enumerate(curves):
            found = chunk[image_of_found].cumsum(0)
            total = (detections @ chunk).cumsum(0)
            precision = found / np.maximum(total, 1)
            envelope = np.maximum.accumulate(precision[::-1], 0)[::-1]
            area = interpolation(found / np.maximum(objects, 1), envelope)
            result[start : start + size, step] = np.where(objects > 0, area, np.nan)
    return result


def precision_envelope(ranking: Ranking) -> Array:
    """The precision-recall curve of all-point interpolation at the first threshold, every image
    counted once.

    Returns:
        float64 ``(N,)`` for the N objects: entry k is the highest precision at a recall of at least
        ``(k + 1) / N``, and 0 where no detection gets that far. Its mean is the average precision.
    """
    corners, detections = _curve(ranking, 0)
    precision = np.arange(1, len(corners) + 1) / detections.sum(1).cumsum()
    result = np.zeros(int(ranking.objects.sum()))
    result[: len(corners)] = np.maximum.accumulate(precision[::-1])[::-1]
    return result


def _curve(ranking: Ranking, step: int) -> tuple[NDArray[np.int64], csr_array]:
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
