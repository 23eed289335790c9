"""Fold frozen batch normalisation into the convolution before it, at every forward.

A frozen batch norm is ``y = scale * x + shift`` per channel. Done apart it reads and writes every
activation map of the backbone twice more, and again in the backward; and its float32 buffers turn
the bf16 activations of autocast back into float32. Scaling the weights of the convolution instead
gives the same function, with the same exact gradient in the weights, at the cost of a product over
the weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class _FoldedNorm2d(FrozenBatchNorm2d):
    """A frozen batch norm that keeps the statistics, while the convolution before it does the
    work."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x


class _FoldedConv2d(nn.Conv2d):
    """A convolution that applies the frozen batch norm after it through its own weights and
    bias."""

    # A tuple keeps the norm from being registered as a child: it stays where torchvision put it,
    # and so do the state-dict keys. copy.deepcopy of the model maps the reference to the copied
    # norm.
    following_norm: tuple[_FoldedNorm2d]

    def forward(self, input: Tensor) -> Tensor:
        (norm,) = self.following_norm
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        if self.bias is not None:
            shift = shift + self.bias * scale
        return self._conv_forward(input, self.weight * scale[:, None, None, None], shift)


def fold_frozen_batchnorm(module: ModuleT) -> ModuleT:
    """Fold every frozen batch norm that directly follows a convolution, in place.

    Parameters, buffers, their names and the function computed stay as they are: state dicts load
    both ways, before and after. Weights remain trainable, and statistics loaded later take effect
    at the next forward.

    Args:
        module: a torchvision backbone, or anything that contains it. A convolution and a norm are
            taken for a pair where they are consecutive children of one parent, as in all of
            torchvision's backbones.

    Returns:
        ``module``.
    """
    for parent in module.modules():
        for conv, norm in pairwise(parent.children()):
            if (
                type(conv) is nn.Conv2d
                and type(norm) is FrozenBatchNorm2d
                and norm.get_buffer("weight").numel() == conv.out_channels
            ):
                conv.__class__ = _FoldedConv2d
                conv.__dict__["following_norm"] = (norm,)
                norm.__class__ = _FoldedNorm2d
    return module
