"""Which detection found which object: overlap, and the matching rules of Pascal VOC, COCO and the
authors' metric.

The rules look at a whole test set at once. Detections and objects are numbered through all images;
those of an image by falling score. Only pairs of one image and class whose overlap reaches 0.5, the
least that any rule counts, are listed: mostly one per detection. Each rule gives for each detection
whether it is a true positive and whether it is ignored (neither right nor wrong). What is neither
is a false positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

LEAST = 0.5  # overlap that counts, inclusive


@dataclass(frozen=True)
class Pairs:
    """Detections and the objects that they overlap enough.

    Attributes:
        detection: int64 ``(P,)``, rising.
        target: int64 ``(P,)``, the object.
        overlap: float64 ``(P,)``, at least ``LEAST``.
    """

    detection: Numbers
    target: Numbers
    overlap: Array

    @classmethod
    def of(cls, overlap: Array) -> Pairs:
        """Of the overlaps ``(D, G)`` of detections and objects."""
        rows, columns = np.nonzero(overlap >= LEAST)
        return cls(rows, columns, overlap[rows, columns])

    def __getitem__(self, keep: Flags | Numbers) -> Pairs:
        return Pairs(self.detection[keep], self.target[keep], self.overlap[keep])


def box_areas(boxes: Array) -> Array:
    """Of boxes ``(n, 4)``, xyxy: ``(n,)``."""
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)


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
    detected_area, object_area = box_areas(detected)[:, None], box_areas(objects)[None]
    whole = np.where(crowd[None], detected_area, detected_area + object_area - intersection)
    return np.divide(intersection, whole, out=np.zeros_like(intersection), where=whole > 0)


def match_voc(pairs: Pairs, count: int, difficult: Flags, crowd: Flags) -> tuple[Flags, Flags]:
    """The rule of the Pascal VOC devkit (Everingham et al., IJCV 2010, section 4.2).

    Each detection goes to the object it overlaps most. Below the threshold it is a false positive;
    on a difficult object it is ignored; on an object already found it is a false positive. Crowd
    regions, which VOC does not know, take what would be left over: a detection that reaches no
    ordinary object but lies in a crowd region is ignored.

    Args:
        pairs: of boxes.
        count: of the detections, D.
        difficult: ``(G,)``, which objects are.
        crowd: ``(G,)``, which objects are crowd regions.

    Returns:
        True positives ``(1, D)`` and ignored ``(1, D)``.
    """
    found = np.zeros((1, count), dtype=bool)
    ignored = np.zeros((1, count), dtype=bool)
    in_crowd = crowd[pairs.target]
    ignored[0, pairs.detection[in_crowd]] = True
    ordinary = pairs[~in_crowd]
    ordinary = ordinary[np.lexsort((ordinary.target, -ordinary.overlap, ordinary.detection))]
    detections, first = np.unique(ordinary.detection, return_index=True)
    targets = ordinary.target[first]
    ignored[0, detections] = difficult[targets]
    easy = ~difficult[targets]
    _, first = np.unique(targets[easy], return_index=True)  # the best one is first
    found[0, detections[easy][first]] = True
    return found, ignored


def match_coco(
    pairs: Pairs, group: Numbers, ignore: Flags, crowd: Flags, thresholds: Array
) -> tuple[Flags, Flags]:
    """The rule of COCO's ``evaluateImg`` for area "all", at several thresholds at once.

    Each detection takes the free object it overlaps most, of equal ones the last; objects to ignore
    (crowd regions, and difficult ones, which COCO does not know) only where no counted object is
    left for it. A crowd region can be taken any number of times.

    Args:
        pairs: overlaps with crowd regions are over the area of the detection.
        group: ``(D,)``, of each detection: those of one group are of one image and class. In a
            group they take their turns.
        ignore: ``(G,)``, which objects do not count.
        crowd: ``(G,)``, which of these are crowd regions.
        thresholds: ``(T,)``, least overlaps that count, inclusive, at least ``LEAST``.

    Returns:
        True positives ``(T, D)`` and ignored ``(T, D)``.
    """
    found = np.zeros((len(thresholds), len(group)), dtype=bool)
    ignored = np.zeros_like(found)
    least = np.minimum(thresholds, 1 - 1e-10)
    free = np.ones((len(ignore), len(thresholds)), dtype=bool)
    # the k-th of each group at the same time, and of each the objects in the order of its choice
    turn = _turns(pairs.detection, group)
    keys = (-pairs.target, -pairs.overlap, ignore[pairs.target], pairs.detection, turn)
    order = np.lexsort(keys)
    pairs, turn = pairs[order], turn[order]
    ends = np.searchsorted(turn, np.arange(turn.max(initial=-1) + 2))
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        some = pairs[np.arange(start, end)]
        detections, firsts = np.unique(some.detection, return_index=True)
        open_to = free[some.target] & (some.overlap[:, None] >= least)
        place = np.where(open_to, np.arange(end - start)[:, None], end - start)
        choice = np.minimum.reduceat(place, firsts)  # (detections, T)
        row, step = np.nonzero(choice < end - start)
        target = some.target[choice[row, step]]
        counts = ~ignore[target]
        found[step, detections[row]] = counts
        ignored[step, detections[row]] = ~counts
        free[target, step] = crowd[target]
    return found, ignored


def _turns(detection: Numbers, group: Numbers) -> Numbers:
    """Of each pair, how many detections with pairs there are before its own in the group."""
    distinct, inverse = np.unique(detection, return_inverse=True)
    groups = group[distinct]
    order = np.argsort(groups, kind="stable")
    _, first, size = np.unique(groups[order], return_index=True, return_counts=True)
    turn = np.empty(len(distinct), dtype=np.int64)
    turn[order] = np.arange(len(distinct)) - np.repeat(first, size)
    return turn[inverse]
