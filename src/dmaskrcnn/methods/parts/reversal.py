"""Gradient reversal (Ganin and Lempitsky, ICML 2015)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Reversal:
    """A gradient reversal layer whose factor may be set after the forward pass (Ganin and
    Lempitsky, ICML 2015, section 3.2).

    Identity forward; backward multiplies the gradient by ``-factor``: a negative one scales without
    reversing. One object serves all FPN levels of one forward pass.

    Attributes:
        factor: float, or a float tensor ``(N,)`` with one factor per image.
    """

    def __init__(self, factor: float | Tensor) -> None:
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        """``x``, of any shape ``(N, ...)``."""
        return _Reverse.apply(x, self)  # type: ignore[return-value]


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, reversal: Reversal) -> Tensor:
        ctx.reversal = reversal
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        factor = ctx.reversal.factor
        if isinstance(factor, Tensor):
            factor = factor.to(grads[0].dtype).view(-1, *[1] * (grads[0].dim() - 1))
        return grads[0] * -factor, None


def ramp(progress: float) -> float:
    """Ganin and Lempitsky's schedule of the factor, ``2 / (1 + exp(-10 p)) - 1``, rising from 0 to
    1 with progress p in [0, 1]."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
