"""Feature pyramid networks on the backbones of torchvision."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.frozen_batchnorm import fold_frozen_batchnorm
from dmaskrcnn.detector.heads import norm_layer

LEVELS = ("0", "1", "2", "3")  # torchvision's names of P2-P5, of which its state dicts know nothing
# Which children of torchvision's networks give the maps of stride 4, 8, 16, 32, and from which
# child on to train, top first.
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
MOBILENET_STAGES = {
    "mobilenet_v2": ("2", "4", "7", "18"),
    "mobilenet_v3_large": ("2", "4", "7", "16"),
}
COARSE = ("13", "16")  # of mobilenet_v3_large, both of stride 32


def build_backbone(config: DetectorConfig) -> BackboneWithFPN:
    """The untrained network below the heads, with the stages frozen that the configuration does not
    train."""
    norm = norm_layer(config)
    network: Any = models.get_model(config.backbone, weights=None, norm_layer=norm)
    stages = RESNET_STAGES
    if config.backbone in MOBILENET_STAGES:
        network, stages = network.features, MOBILENET_STAGES[config.backbone]
        order = [str(i) for i in range(len(network))]
        borders = [0, *(int(s) for s in stages)]
        groups = [order[a:b] for a, b in zip(borders, [*borders[1:], len(order)], strict=True)]
    else:
        groups = [["conv1", "bn1"], *([s] for s in stages)]
    frozen = [name for group in groups[: max(0, 5 - config.trainable_layers)] for name in group]
    for name, child in network.named_children():
        if name in frozen:
            child.requires_grad_(False)
    maps = COARSE if config.pyramid == "coarse" else stages
    levels: dict[str, str] = dict(zip(maps, LEVELS, strict=False))
    body = IntermediateLayerGetter(network, levels)
    with torch.no_grad():  # one tiny pass tells the channels of any network
        channels = [f.shape[1] for f in body.eval()(torch.zeros(1, 3, 32, 32)).values()]
    network.train()
    width, pool = config.fpn_channels, LastLevelMaxPool()
    of_pyramid = norm if config.heads == "deep" else None
    pyramid = BackboneWithFPN(network, levels, channels, width, pool, of_pyramid)
    pyramid.fpn.__class__ = _SparingPyramid
    return fold_frozen_batchnorm(pyramid)


class _SparingPyramid(FeaturePyramidNetwork):
    """torchvision's, to the bit, which lets go of each map of the backbone once it is used and adds
    in place: half its memory, which is the most that a prediction takes."""

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the backbone's maps, finest first, which are taken out of ``x``."""
        names = list(x)
        last = self.get_result_from_inner_blocks(x.pop(names[-1]), -1)
        results = [self.get_result_from_layer_blocks(last, -1)]
        for index in reversed(range(len(names) - 1)):
            lateral = self.get_result_from_inner_blocks(x.pop(names[index]), index)
            last = lateral.add_(F.interpolate(last, size=lateral.shape[-2:], mode="nearest"))
            results.insert(0, self.get_result_from_layer_blocks(last, index))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, [], names)
        return OrderedDict(zip(names, results, strict=True))
