"""Fold frozen batch normalisation into the convolution before it: at every forward of a training,
once for predictions.

A frozen batch norm is ``y = scale * x + shift`` per channel. Done apart it reads and writes every
activation map of the backbone twice more, and again in the backward; and its float32 buffers turn
the bf16 activations of autocast back into float32. Scaling the weights of the convolution instead
gives the same function, with the same exact gradient in the weights, at the cost of a product over
the weights. Predictions, which run in `torch.inference_mode`, keep the product, in the precision of
the arithmetic: nothing of it shows in state dicts, copies or exports.
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


class _Kept:
    """The folded weight and bias, and what they were made of; a copy has none."""

    values: tuple[Any, Tensor, Tensor] | None = None

    def __reduce__(self) -> tuple[type[_Kept], tuple[()]]:
        return _Kept, ()


class _FoldedConv2d(nn.Conv2d):
    """A convolution that applies the frozen batch norm after it through its own weights and
    bias."""

    # A tuple keeps the norm from being registered as a child: it stays where torchvision put it,
    # and so do the state-dict keys. copy.deepcopy of the model maps the reference to the copied
    # norm.
    following_norm: tuple[_FoldedNorm2d]
    kept: _Kept

    def forward(self, input: Tensor) -> Tensor:
        if (folded := self.__dict__.get("folded")) is not None:
            self.kept.values = None
            return self._conv_forward(input, *folded)
        (norm,) = self.following_norm
        parts = [p for p in (self.weight, self.bias, *norm.buffers()) if p is not None]
        if torch.is_inference_mode_enabled() and not any(p.is_inference() for p in parts):
            weight, bias = self._kept_of(parts, input.device.type)
        else:
            self.kept.values = None
            weight, bias = self._folded()
        return self._conv_forward(input, weight, bias)

    def _folded(self) -> tuple[Tensor, Tensor]:
        (norm,) = self.following_norm
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        if self.bias is not None:
            shift = shift + self.bias * scale
        return self.weight * scale[:, None, None, None], shift

    def _kept_of(self, parts: list[Tensor], device: str) -> tuple[Tensor, Tensor]:
        mixed = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if mixed else self.weight.dtype
        # whatever changes one of them leaves another address or version
        made_of = [(id(p), p.data_ptr(), p._version) for p in parts]
        key = (made_of, self.weight.device, dtype)
        values = self.kept.values
        if values is None or values[0] != key:
            weight, bias = self._folded()
            values = self.kept.values = (key, weight.to(dtype), bias.to(dtype))
        return values[1:]


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
                conv.__dict__["kept"] = _Kept()
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
            eps = torch.from_numpy(np.repeat([np.float32(norm.eps) for norm in norms], channels))
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
