"""The heads above a pyramid, torchvision's: those of the papers, or the deeper ones of its second
Mask R-CNN (Li et al. 2021, "Benchmarking detection transfer learning with vision transformers")."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FrozenBatchNorm2d

from dmaskrcnn.detector.batchnorm import SharedBatchNorm2d
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.frozen_batchnorm import fold_frozen_batchnorm


def norm_layer(config: DetectorConfig) -> Callable[..., nn.Module]:
    """The norm of this architecture, wherever it has norms."""
    return FrozenBatchNorm2d if config.norm == "frozen" else SharedBatchNorm2d


def rpn_head(config: DetectorConfig, anchors: int) -> RPNHead:
    """Objectness and deltas of so many anchors at every position."""
    return RPNHead(config.fpn_channels, anchors, conv_depth=2 if config.heads == "deep" else 1)


def box_head(config: DetectorConfig) -> nn.Module:
    """From pooled features ``(N, C, 7, 7)`` to ``(N, box_head_width)``."""
    width, out = config.fpn_channels, config.box_head_width
    if config.heads == "plain":
        return TwoMLPHead(width * 7 * 7, out)
    deep = FastRCNNConvFCHead((width, 7, 7), [width] * 4, [out], norm_layer(config))
    return fold_frozen_batchnorm(deep)


def mask_head(config: DetectorConfig) -> nn.Module:
    """From pooled features ``(N, C, 14, 14)`` to as many of the same size."""
    layers = (config.fpn_channels,) * config.mask_head_layers
    norm = norm_layer(config) if config.heads == "deep" else None
    return fold_frozen_batchnorm(MaskRCNNHeads(layers[0], layers, 1, norm))
