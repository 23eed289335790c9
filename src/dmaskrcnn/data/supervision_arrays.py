"""A ``supervision.Detections`` as arrays; the package itself is not needed for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dmaskrcnn.data.coco_results import Arrays
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.errors import UserError


def supervision_arrays(
    found: Any, classes: Sequence[str] | None, size: tuple[int, int] | None
) -> tuple[Arrays, tuple[str, ...]]:
    """Boxes, labels, scores and masks by falling score, and the class names; arguments and errors
    as of ``Detections.from_supervision``."""
    boxes = np.asarray(found.xyxy, dtype=np.float32).reshape(-1, 4)
    ids = np.zeros(0, np.int64) if found.class_id is None else np.asarray(found.class_id)
    names = found.data.get("class_name") if found.data else None
    if len(ids) != len(boxes):
        raise UserError("class_id: these detections have none; set it, an index into classes each")
    if classes is None:
        if names is None and len(boxes):
            raise UserError("classes: these detections hold no class names; give classes")
        by_id = dict(zip(ids.tolist(), map(str, () if names is None else names), strict=True))
        classes = [by_id[number] for number in sorted(by_id)]
        ids = np.searchsorted(sorted(by_id), ids)
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(classes):
        raise UserError(f"classes: {len(classes)} names, but class ids to {ids.max()}; give all")
    if found.mask is None and size is None:
        raise UserError("size: unknown without masks; give (height, width) of the image")
    masks = (
        PackedMasks.nothing(len(boxes), *(size or (0, 0)))
        if found.mask is None
        else PackedMasks.of_frames(np.asarray(found.mask, dtype=bool))
    )
    scores = np.ones(len(boxes)) if found.confidence is None else np.asarray(found.confidence)
    order = np.argsort(-scores, kind="stable")
    labels = ids.astype(np.int64)
    return (
        (boxes[order], labels[order], scores.astype(np.float32)[order], masks[order]),
        tuple(classes),
    )
