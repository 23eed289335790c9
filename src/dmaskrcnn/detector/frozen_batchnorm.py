"""Fold frozen batch normalisation into the convolution before it, at every forward.

A frozen batch norm is ``y = scale * x + shift`` per channel. Done apart it reads and writes every
activation map of the backbone twice more, and again in the backward; and its float32 buffers turn
the bf16 activations of autocast back into float32. Scaling the weights of the convolution instead
gives the same function, with the same exact gradient in the weights, at the cost of a product over
the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
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
        if (folded := self.__dict__.get("folded")) is not None:
            return self._conv_forward(input, *folded)
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


class FoldedTogether:
    """While it is entered, all convolutions of a network are folded at once, in ten launches on a
    GPU instead of nine for each of them, and twice that again in the backward.

    Args:
        network: after `fold_frozen_batchnorm`.
        dtype: of the arithmetic; None: the weights' own.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype | None) -> None:
        self.convs = [m for m in network.modules() if isinstance(m, _FoldedConv2d)]
        self.dtype = dtype

    def __enter__(self) -> None:
        if not self.convs:
            return
        norms = [conv.following_norm[0] for conv in self.convs]
        channels = [conv.out_channels for conv in self.convs]
        with torch.no_grad():  # of all channels one after the other
            weight, bias, mean, variance = (
                torch.cat([norm.get_buffer(name) for norm in norms])
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            eps = torch.from_numpy(np.repeat(np.float32([norm.eps for norm in norms]), channels))
            scale = weight * (variance + eps.to(variance.device, non_blocking=True)).rsqrt()
            shift = bias - mean * scale
            if self.dtype is not None:
                shift = shift.to(self.dtype)
        scales = scale.split(channels)
        weights = _Scaled.apply(self.dtype, scales, *(conv.weight for conv in self.convs))
        for conv, weight, own, shifted in zip(
            self.convs, weights, scales, shift.split(channels), strict=True
        ):
            if conv.bias is not None:
                shifted = shifted + conv.bias * own
            conv.__dict__["folded"] = weight, shifted.to(weight.dtype)

    def __exit__(self, *exception: object) -> None:
        for conv in self.convs:
            conv.__dict__.pop("folded", None)


class _Scaled(torch.autograd.Function):
    """Every weight times the scales of its output channels, in another dtype: one node of the graph
    for all of a network, one launch for each weight."""

    @staticmethod
    def forward(
        ctx: Any, dtype: torch.dtype | None, scales: Sequence[Tensor], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.scales = [scale[:, None, None, None] for scale in scales]
        scaled = [torch.empty_like(w, dtype=dtype or w.dtype) for w in weights]
        for weight, scale, out in zip(weights, ctx.scales, scaled, strict=True):
            torch.mul(weight, scale, out=out)
        return tuple(scaled)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        needed = ctx.needs_input_grad[2:]
        of_each = zip(grads, ctx.scales, needed, strict=True)
        # bfloat16 times float32 is float32
        return None, None, *(grad * scale if wanted else None for grad, scale, wanted in of_each)
