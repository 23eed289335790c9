"""Several looks at one picture as one, for labels that are worth the time: at two sizes, and
mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from dmaskrcnn.data.packed_masks import NOTHING, Crop, PackedMasks
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor

# IoU from which boxes of a class are of one thing, as published
SAME = 0.55


def look(predictors: Sequence[Predictor], image: Tensor, threshold: float) -> Detections:
    """What all predictors see in a picture and in its mirror image, fused.

    Args:
        predictors: detectors of the same classes, as that of one run at several sizes.
        image: uint8 ``(3, H, W)``.
        threshold: lowest score, of each look and of the result.
    """
    looks = []
    for predictor in predictors:
        plain, mirrored = predictor.predict([image, image.flip(-1)], threshold)
        looks += [plain, _mirrored(mirrored, image.shape[-1])]
    return fuse(looks).above(threshold)


def fuse(looks: Sequence[Detections]) -> Detections:
    """Weighted boxes fusion (Solovyev et al., Image and Vision Computing 2021, section 3): a box is
    the mean of those of its class that overlap, weighted by their scores; its score their mean over
    all looks, so that what few of them see counts less. A mask is the same mean of masks, from a
    half on.

    Args:
        looks: of the same picture, at least one.
    """
    boxes, labels, scores = (
        torch.cat([getattr(found, name) for found in looks])
        for name in ("boxes", "labels", "scores")
    )
    crops = [crop for found in looks for crop in found.packed.crops()]
    groups: list[list[int]] = []
    fused, kinds = torch.zeros_like(boxes), torch.zeros_like(labels)  # of the groups, in front
    for row in scores.argsort(descending=True, stable=True).tolist():
        alike = (kinds[: len(groups)] == labels[row]).nonzero()[:, 0]
        overlap = box_iou(boxes[row, None], fused[alike])[0]
        if len(alike) and overlap.max() >= SAME:
            group = int(alike[overlap.argmax()])
            groups[group].append(row)
            fused[group] = _mean(boxes, scores, groups[group])
        else:
            fused[len(groups)], kinds[len(groups)] = boxes[row], labels[row]
            groups.append([row])
    if not groups:
        return looks[0]
    joint = torch.stack([scores[g].sum() / max(len(g), len(looks)) for g in groups])
    order = joint.argsort(descending=True, stable=True)
    shapes = (_mask([crops[row] for row in g], scores[g]) for g in map(groups.__getitem__, order))
    height, width = looks[0].packed.shape[1:]
    return Detections(
        fused[: len(groups)][order],
        kinds[: len(groups)][order],
        joint[order],
        PackedMasks.of_crops(height, width, shapes),
        looks[0].classes,
    )


def _mean(values: Tensor, scores: Tensor, rows: list[int]) -> Tensor:
    weights = scores[rows] / scores[rows].sum()
    return torch.tensordot(weights, values[rows].float(), dims=1)


def _mask(crops: Sequence[Crop], scores: Tensor) -> Crop:
    """From half of the scores on, in the window around all of them."""
    weights = (scores / scores.sum()).tolist()
    shown = [pair for pair in zip(crops, weights, strict=True) if pair[0].inside.size]
    if not shown:
        return NOTHING
    top, left = min(crop.top for crop, _ in shown), min(crop.left for crop, _ in shown)
    bottom = max(crop.top + len(crop.inside) for crop, _ in shown)
    right = max(crop.left + crop.inside.shape[1] for crop, _ in shown)
    votes = np.zeros((bottom - top, right - left), dtype=np.float32)
    for crop, weight in shown:
        height, width = crop.inside.shape
        window = votes[crop.top - top :, crop.left - left :][:height, :width]
        window += weight * crop.inside
    return Crop(top, left, votes >= 0.5)


def _mirrored(found: Detections, width: int) -> Detections:
    boxes = found.boxes.clone()
    boxes[:, [0, 2]] = width - found.boxes[:, [2, 0]]
    return replace(found, boxes=boxes, masks=found.packed.mirrored())
