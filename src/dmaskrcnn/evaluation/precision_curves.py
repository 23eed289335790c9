"""Precision over recall, class by class: the curves whose area is the average precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.detections import Detections
from dmaskrcnn.evaluation.average_precision import precision_envelope
from dmaskrcnn.evaluation.matched_set import GroundTruth, MatchedSet


def precision_curves(
    truth: GroundTruth, predictions: Iterable[Detections]
) -> dict[str, NDArray[np.float64]]:
    """The curve behind ``voc/AP50`` per class with an object: the precision at each recall, see
    `precision_envelope`.

    Args:
        truth: the test set.
        predictions: one ``Detections`` per image, in the order of ``truth.image_ids``.

    Raises:
        ValueError: if there are more or fewer predictions than images.
    """
    # boxes alone count here, and masks are what matching takes longest for
    boxes = (replace(found, masks=PackedMasks.nothing(len(found), 0, 0)) for found in predictions)
    matched = MatchedSet(truth, boxes)
    rankings = zip(truth.classes, matched.rankings("voc"), strict=True)
    return {name: precision_envelope(one) for name, one in rankings if one.objects.any()}
