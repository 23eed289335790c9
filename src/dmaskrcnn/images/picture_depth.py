"""The depth of a photograph of a street, from what a data set says of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dmaskrcnn.data.sample import Sample
from dmaskrcnn.haze.depth import EDGE, FAR, WINDOW, estimate_layout, reduced_objects, scene_depth
from dmaskrcnn.haze.filters import fast_guided_filter

# px of the longer side of the picture in which depth is estimated; the guided filter brings it back
# to full size along the edges
REDUCED = 160


def picture_depth(
    sample: Sample, classes: Sequence[str], rng: np.random.Generator, focal: float | None = None
) -> NDArray[np.float32]:
    """The depth of a photograph of a street, estimated from the ground and the annotated objects.

    Args:
        sample: of any size, with or without objects.
        classes: the names that its labels refer to.
        rng: of what the picture does not tell: the distance of its background; without objects, the
            horizon too.
        focal: focal length in px; by default the longer side of the picture.

    Returns:
        float32 ``(H, W)``, metres in (0, FAR].
    """
    image = sample.image.contiguous().float()
    longer = max(image.shape[-2:])
    step = max(1, round(longer / REDUCED))
    small = F.avg_pool2d(image, step, ceil_mode=True)
    boxes, heights, masks = reduced_objects(sample.objects, classes, step)
    ground, depths, _, background = estimate_layout(
        small.numpy(), boxes, heights, rng, (focal or longer) / step
    )
    boxed = np.array([mask is None for mask in masks], dtype=bool)
    size, no_masks = (small.shape[-2], small.shape[-1]), [None] * int(boxed.sum())
    depth = scene_depth(boxes[boxed], depths[boxed], no_masks, ground, size, background)
    guides = image.mean(0).div_(255), small.mean(0).div_(255)
    inverse = fast_guided_filter(*guides, torch.from_numpy(1 / depth), WINDOW, EDGE)
    # masks come last, in full size: the filter would draw a rim of clear air around them
    if sample.objects is not None:
        for i in np.flatnonzero(~boxed):
            mask = sample.objects.masks[i][None].float()
            cover = F.avg_pool2d(mask, 3, 1, 1, count_include_pad=False)[0]
            inverse = torch.maximum(inverse, inverse + cover * (1 / float(depths[i]) - inverse))
    return (1 / inverse.clamp_(min=1 / FAR)).numpy()
