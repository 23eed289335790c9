"""Batch normalisation over the images of all processes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dmaskrcnn.distributed import average, of_all, world_size


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose statistics in training are those of the whole batch, however
    many processes share it.

    Processes may have more or less of it, as RoIs with masks, and some of them nothing; where none
    has anything, statistics stay. `torch.nn.SyncBatchNorm` does the same, but not on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, H, W)``, of any floating dtype, which the output keeps."""
        if not self.training or (world_size() == 1 and input.numel()):
            return super().forward(input)
        mean, variance, count = _statistics(input.detach())
        with torch.no_grad():
            # the running variance is unbiased, as torch's
            unbiased = variance * (count / (count - 1).clamp(min=1))
            weight = cast(float, self.momentum) * (count > 0)
            cast(Tensor, self.running_mean).lerp_(mean, weight)
            cast(Tensor, self.running_var).lerp_(unbiased, weight)
            cast(Tensor, self.num_batches_tracked).add_(1)
        normalised = _Normalise.apply(
            input, mean, variance, count, self.weight, self.bias, self.eps
        )
        return cast(Tensor, normalised)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance per channel over the images of all processes, and how many values these
    are; each ``(C,)``, float32."""
    images = images.float()
    if not images.numel():
        mean = variance = images.new_zeros(images.shape[1])
    elif images.is_cuda:
        variance, mean = torch.var_mean(images, (0, 2, 3), correction=0)
    else:  # a tenth of the time that `var_mean` takes on a CPU, though it normalises for nothing
        _, mean, deviation = torch.native_batch_norm(images, None, None, None, None, True, 0.0, 0.0)
        variance = deviation.square().reciprocal()  # it is 1 / σ
    count = torch.full_like(mean, images.numel() / len(mean))
    means, variances, counts = of_all(torch.stack([mean, variance, count])).unbind(1)
    count = counts.sum(0)
    share = counts / count.clamp(min=1)
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0), count


class _Normalise(torch.autograd.Function):
    """Normalise by the statistics of all processes. Its gradient goes through them, too: it is that
    of the mean of the processes' losses, which is what is minimised."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(images, mean, (variance + eps).rsqrt(), count, weight)
        ctx.eps = eps
        if not images.numel():
            return images.clone()
        return functional.batch_norm(images, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        images, mean, inverse, count, weight = ctx.saved_tensors
        if images.numel():  # as if this process's images were all
            grad, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                grads[0], images, weight, None, None, mean, inverse, True, ctx.eps, [True] * 3
            )
        else:
            grad, of_weight, of_bias = grads[0].clone(), *weight.new_zeros(2, len(weight))
        # what was taken off were its own means of the gradient, and of the gradient times x̂
        sums = torch.stack([of_bias, of_weight])
        own = sums * (len(mean) / max(1, images.numel()))
        of_all_images = average(sums.clone()) * (world_size() / count.clamp(min=1))
        of_bias_off, of_weight_off = (own - of_all_images) * weight * inverse
        slope = of_weight_off * inverse
        shift = of_bias_off - slope * mean
        grad.addcmul_(images, slope.to(grad.dtype)[:, None, None])
        grad.add_(shift.to(grad.dtype)[:, None, None])
        return grad, None, None, None, of_weight, of_bias, None
