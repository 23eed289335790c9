"""The geometry of the feature pyramid: its levels, their strides, and the part of a map that shows
the image."""

from __future__ import annotations

import math

from torch import Tensor

LEVELS = ("0", "1", "2", "3")  # torchvision's names of P2-P5; P6 takes no part, as in the original
STRIDES = (4, 8, 16, 32)


def crop_to_image(feature: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """The part of one image's feature map ``(C, h, w)`` that shows the image (H, W) and not the
    zero padding below and right.

    Padding differs between cameras, so a classifier that sees it can tell the domains apart without
    looking at the picture.
    """
    height, width = (max(1, math.ceil(s / stride)) for s in size)
    return feature[:, :height, :width]
