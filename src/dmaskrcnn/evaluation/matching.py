"""Which detection found which object: overlap, and the matching rules of Pascal VOC, COCO and the
authors' metric.

Every rule takes the detections of one image by falling score and gives, for each, whether it is a
true positive and whether it is ignored (neither right nor wrong). What is neither is a false
positive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def box_overlap(detected: Array, objects: Array, crowd: Flags) -> Array:
    """Intersection over union of boxes; for crowd regions, intersection over the area of the
    detection (as COCO does).

    Args:
        detected: ``(D, 4)``, xyxy in pixels; a box spans ``x2 - x1`` pixels (no "+ 1").
        objects: ``(G, 4)``, the same.
        crowd: ``(G,)``, which objects are crowd regions.

    Returns:
        ``(D, G)`` in [0, 1].
    """
    low = np.maximum(detected[:, None, :2], objects[None, :, :2])
    high = np.minimum(detected[:, None, 2:], objects[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(-1)
    detected_area = np.prod(detected[:, 2:] - detected[:, :2], axis=-1)[:, None]
    object_area = np.prod(objects[:, 2:] - objects[:, :2], axis=-1)[None]
    whole = np.where(crowd[None], detected_area, detected_area + object_area - intersection)
    return np.divide(intersection, whole, out=np.zeros_like(intersection), where=whole > 0)


def match_voc(
    overlap: Array, difficult: Flags, crowd: Flags, threshold: float = 0.5
) -> tuple[Flags, Flags]:
    """The rule of the Pascal VOC devkit (Everingham et al., IJCV 2010, section 4.2).

    Each detection goes to the object it overlaps most. Below the threshold it is a false positive;
    on a difficult object it is ignored; on an object already found it is a false positive. Crowd
    regions, which VOC does not know, take what would be left over: a detection that reaches no
    ordinary object but lies in a crowd region is ignored.

    Args:
        overlap: ``(D, G)`` from `box_overlap`, rows by falling score, one class.
        difficult: ``(G,)``.
        crowd: ``(G,)``.
        threshold: least overlap that counts, inclusive.

    Returns:
        True positives ``(D,)`` and ignored ``(D,)``.
    """
    found = np.zeros(len(overlap), dtype=bool)
    ignored = np.zeros(len(overlap), dtype=bool)
    if overlap.shape[1] == 0:
        return found, ignored
    ordinary = np.where(crowd[None], -1.0, overlap)
    best, best_overlap = ordinary.argmax(1), ordinary.max(1)
    taken = np.zeros(len(crowd), dtype=bool)
    for row in np.flatnonzero(best_overlap >= threshold):
        column = best[row]
        if difficult[column]:
            ignored[row] = True
        elif not taken[column]:
            found[row] = taken[column] = True
    in_crowd = np.where(crowd[None], overlap, -1.0).max(1) >= threshold
    ignored |= in_crowd & (best_overlap < threshold)
    return found, ignored


def match_coco(
    overlap: Array, difficult: Flags, crowd: Flags, thresholds: Array
) -> tuple[Flags, Flags]:
    """The rule of COCO's ``evaluateImg`` for area "all", at several thresholds at once.

    Each detection takes the free object it overlaps most; ignored objects (crowd regions, and
    difficult ones, which COCO does not know) only where no counted object is left for it. A crowd
    region can be taken any number of times.

    Args:
        overlap: ``(D, G)``, rows by falling score, one class; crowd columns over the area of the
            detection.
        difficult: ``(G,)``.
        crowd: ``(G,)``.
        thresholds: ``(T,)``, least overlaps that count, inclusive.

    Returns:
        True positives ``(T, D)`` and ignored ``(T, D)``.
    """
    found = np.zeros((len(thresholds), len(overlap)), dtype=bool)
    ignored = np.zeros_like(found)
    if overlap.shape[1] == 0:
        return found, ignored
    least = np.minimum(thresholds, 1 - 1e-10)
    steps = np.arange(len(thresholds))
    counted = [
        (columns, counts)
        for columns, counts in ((~(difficult | crowd), True), (difficult | crowd, False))
    ]
    free = np.ones((len(thresholds), overlap.shape[1]), dtype=bool)
    for row in np.flatnonzero(overlap.max(1) >= least.min()):
        open_steps = np.ones(len(thresholds), dtype=bool)
        for columns, counts in counted:
            (indices,) = columns.nonzero()
            if not len(indices):
                continue
            # Of equal overlaps COCO takes the last object: search from the back.
            indices = indices[::-1]
            candidates = np.where(free[:, indices], overlap[row, indices], -1.0)
            best = candidates.argmax(1)
            hit = open_steps & (candidates[steps, best] >= least)
            chosen = indices[best[hit]]
            (found if counts else ignored)[hit, row] = True
            free[hit, chosen] = crowd[chosen]
            open_steps &= ~hit
    return found, ignored


def match_legacy(overlap: Array, crowd: Flags, threshold: float = 0.5) -> tuple[Flags, Flags]:
    """The rule of the authors' metric: each detection takes the free object of its class that it
    overlaps most.

    Args:
        overlap: ``(D, G)`` over all classes, rows by falling score; 0 where the classes differ.
        crowd: ``(G,)``; detections left over in a crowd region are ignored (the authors' data has
            no crowds).
        threshold: least overlap that counts, inclusive.

    Returns:
        True positives ``(D,)`` and ignored ``(D,)``.
    """
    found, ignored = match_coco(overlap, np.zeros_like(crowd), crowd, np.array([threshold]))
    return found[0], ignored[0]
