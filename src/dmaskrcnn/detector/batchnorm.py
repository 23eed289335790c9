"""Batch normalisation over the images of all processes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from dmaskrcnn.distributed import average, world_size


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose statistics in training are those of the whole batch, however
    many processes share it.

    Mean and variance are means over the processes, which is exact where each has as many images as
    the others, padded alike: so are our batches. `torch.nn.SyncBatchNorm` does the same with counts
    that differ, but not on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)``, of any floating dtype, which the output keeps."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        mean = _average(input.float().mean((0, 2, 3)))
        centred = input.float() - mean[:, None, None]
        variance = _average(centred.square().mean((0, 2, 3)))
        with torch.no_grad():
            count = world_size() * input.numel() / len(mean)
            # the running variance is unbiased, as torch's
            unbiased = variance * (count / (count - 1))
            cast(Tensor, self.running_mean).lerp_(mean, cast(float, self.momentum))
            cast(Tensor, self.running_var).lerp_(unbiased, cast(float, self.momentum))
            cast(Tensor, self.num_batches_tracked).add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)


class _Average(torch.autograd.Function):
    """The mean over processes. Its gradient is the mean of theirs, since what is minimised is the
    mean of their losses."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return average(values.clone())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return average(grads[0].clone())


def _average(values: Tensor) -> Tensor:
    return cast(Tensor, _Average.apply(values))
