"""Two opinions of one picture, another detector's and the run's own teacher's, as one."""

from __future__ import annotations

from dataclasses import replace

import torch
from torchvision.ops import box_iou

from dmaskrcnn.data.masks_field import held_masks
from dmaskrcnn.data.mosaic import joined
from dmaskrcnn.data.sample import Annotations

SAME = 0.5  # IoU from which two boxes are of one thing, as everywhere in the detector


def agreed(brought: Annotations, seen: Annotations) -> Annotations:
    """What both say together. In either, ``crowd`` marks what it is unsure of, and in the result
    what is neither object nor background.

    - What both see, each the other's nearest of its class, is an object, however unsure they are;
      its box is the mean of theirs.
    - What one of them sees alone stays as it is: an object where it is sure, neither where it is
      not.
    - Where they name different classes, the brought one counts: it comes from the better detector.

    Args:
        brought: the other detector's, perhaps with masks.
        seen: the teacher's, of the same picture at the same size.
    """
    if not len(brought) or not len(seen):
        return joined([brought, seen])
    overlap = box_iou(brought.boxes, seen.boxes)
    alike = overlap * (brought.labels[:, None] == seen.labels)
    nearest, rows = alike.argmax(1), torch.arange(len(brought), device=overlap.device)
    both = (alike.argmax(0)[nearest] == rows) & (alike[rows, nearest] >= SAME)
    mean = (brought.boxes + seen.boxes[nearest]) / 2
    confirmed = replace(
        brought,
        boxes=torch.where(both[:, None], mean, brought.boxes),
        crowd=brought.crowd & ~both,
        masks=held_masks(brought),
    )
    alone = (overlap.amax(0) < SAME).nonzero()[
        :, 0
    ]  # once, not for each field: a GPU is waited for
    return joined([confirmed, seen[alone]])
