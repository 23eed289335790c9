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
        with torch.no_grad():
            eps = [norm.eps for norm in norms]
            scales = torch._foreach_add([n.running_var for n in norms], eps)
            torch._foreach_sqrt_(scales)
            scales = torch._foreach_div([n.weight for n in norms], scales)
            shifts = torch._foreach_mul([n.running_mean for n in norms], scales)
            shifts = torch._foreach_sub([n.bias for n in norms], shifts)
            wide = [scale[:, None, None, None] for scale in scales]
        shifts = [
            shift if conv.bias is None else shift + conv.bias * scale
            for conv, shift, scale in zip(self.convs, shifts, scales, strict=True)
        ]
        weights = _Scaled.apply(self.dtype, wide, *(conv.weight for conv in self.convs))
        if self.dtype is not None:
            shifts = [shift.to(self.dtype) for shift in shifts]
        for conv, weight, shift in zip(self.convs, weights, shifts, strict=True):
            conv.__dict__["folded"] = weight, shift

    def __exit__(self, *exception: object) -> None:
        for conv in self.convs:
            conv.__dict__.pop("folded", None)


class _Scaled(torch.autograd.Function):
    """Every weight times its scale, in another dtype: one node for all of a network."""

    @staticmethod
    def forward(
        ctx: Any, dtype: torch.dtype | None, scales: list[Tensor], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.scales = scales
        scaled = torch._foreach_mul(list(weights), scales)
        return tuple(scaled if dtype is None else _cast(scaled, dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        needed = ctx.needs_input_grad[2:]
        pairs = [(g, s) for g, s, n in zip(grads, ctx.scales, needed, strict=True) if n]
        if not pairs:
            return None, None, *(None for _ in grads)
        mine, scales = zip(*pairs, strict=True)
        scaled = iter(torch._foreach_mul(_cast(mine, scales[0].dtype), list(scales)))
        return None, None, *(next(scaled) if n else None for n in needed)


def _cast(values: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    cast = [torch.empty_like(value, dtype=dtype) for value in values]
    torch._foreach_copy_(cast, list(values))
    return cast
