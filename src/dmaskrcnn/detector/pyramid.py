"""The geometry of a feature pyramid: its levels, and the part of a map that shows the image.

Whoever needs a level asks the detector (``Detector.levels``): torchvision's Mask R-CNN has P2-P5
under the names "0" to "3", its FCOS P3-P7 under "0" to "2", "p6" and "p7", other backbones others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

Features = dict[str, Tensor]  # the maps of a batch by name of the level, each (N, C, h, w)

# torchvision's P6: every second position of P5 again, for the RPN's largest anchors
POOLED = "pool"
PROBE = 128  # side in pixels of the image that measures a backbone: P7 is one position of it


@dataclass(frozen=True)
class Level:
    """One map of the pyramid."""

    name: str
    """Its key in `Features`."""
    stride: int
    """Pixels of the network's input per position."""
    channels: int
    """C of its maps ``(N, C, h, w)``."""

    def shown(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of the map that show an image of ``size`` (H, W), at least one each."""
        return _shown(size, self.stride)

    def crop(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """The part of one image's map ``(..., h, w)`` that shows the image and not the zero padding
        below and right.

        Padding differs between cameras, so a classifier that sees it can tell the domains apart
        without looking at the picture.
        """
        height, width = self.shown(size)
        return maps[..., :height, :width]


def measure_levels(backbone: nn.Module) -> tuple[Level, ...]:
    """The levels of any backbone that gives `Features`, finest first: one pass tells names, strides
    and channels."""
    parameter = next(backbone.parameters())
    # a pass in training mode would move BatchNorm's statistics
    modes = {module: module.training for module in backbone.modules()}
    with torch.no_grad():
        maps: Features = backbone.eval()(parameter.new_zeros(1, 3, PROBE, PROBE))
    for module, mode in modes.items():
        module.training = mode
    return tuple(Level(k, round(PROBE / m.shape[-1]), m.shape[1]) for k, m in maps.items())


def without_padding(maps: Tensor, images: ImageList) -> Tensor:
    """The values of any maps ``(N, C, h, w)`` inside a backbone where there is a picture: float32
    ``(C, M)``."""
    stride = images.tensors.shape[-1] // maps.shape[-1]
    sizes = [_shown(size, stride) for size in images.image_sizes]
    parts = [m[:, :h, :w].flatten(1) for m, (h, w) in zip(maps, sizes, strict=True)]
    return torch.cat(parts, 1).float()


def _shown(size: Sequence[int], stride: int) -> tuple[int, int]:
    height, width = (max(1, math.ceil(s / stride)) for s in size)
    return height, width


def split(features: Features, count: int) -> tuple[Features, Features]:
    """The features of the first ``count`` images of a batch, and of the others."""
    # Split rather than slice: the gradients of both halves are then joined once, instead of padded
    # with zeros and added.
    halves = {name: maps.split((count, len(maps) - count)) for name, maps in features.items()}
    return {name: h[0] for name, h in halves.items()}, {name: h[1] for name, h in halves.items()}
