"""AOD-Net: the all-in-one dehazing network (Li et al., ICCV 2017). One map K stands for airlight
and transmission together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmaskrcnn.dehazing.method import DehazingNetwork, Estimate
from dmaskrcnn.dehazing.phases import block_weight, parameters
from dmaskrcnn.device import has_fast_bfloat16
from dmaskrcnn.haze.filters import by_strips

# outputs computed at once: 4 pixels of 3 channels fill 12 of 16 vector lanes, and lie in memory as
# pixels do
COLUMNS = 4
REACH = 1 + 2 + 3 + 1  # pixels that a pixel of K sees on each side: half of the kernels' sides


class AODNet(DehazingNetwork):
    """Five convolutions of three channels, 1,761 parameters; ``J = ReLU(K I - K + 1)``."""

    layout = torch.channels_last  # it works on whole pixels

    def __init__(self):
        super().__init__()
        shapes = ((3, 1), (3, 3), (6, 5), (6, 7), (12, 3))  # inputs, kernel
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, 3, kernel, padding=kernel // 2) for inputs, kernel in shapes
        )
        # K = 1 leaves the picture as it is; from K near 0 the last ReLU might never open.
        nn.init.ones_(parameters(self.convolutions[4])[1])

    def forward(
        self,
        image: Tensor,
        layers: list[Tensor] | None = None,
        inner_dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The map K, ``(N, 3, H, W)`` >= 0, of images ``(N, 3, H, W)`` in [0, 1].

        Args:
            image: the hazy images.
            layers: receives the outputs of the five convolutions.
            inner_dtype: to compute the third and fourth convolution in, two thirds of the work. In
                bfloat16 the dehazed picture moves by less than 0.6/255 (measured with the authors'
                weights on RESIDE's indoor pictures); were the last convolution computed so, too, it
                would be 1.4/255.
        """
        one, two, three, four, five = self.convolutions
        first = convolve(one, image)
        second = convolve(two, first)
        third = convolve(three, torch.cat([first, second], dim=1), inner_dtype)
        fourth = convolve(four, torch.cat([second, third], dim=1), inner_dtype)
        k = convolve(five, torch.cat([first, second, third, fourth], dim=1))
        if layers is not None:
            layers += [first, second, third, fourth, k]
        return k

    def estimate(self, hazy: Tensor, for_8_bits: bool = False) -> Estimate:
        """The clear images, ``K I - K + 1``, clipped to [0, 1], and the map ``k``."""
        # Where the result is rounded to 8 bits anyway, half the precision is enough inside.
        half = for_8_bits and hazy.device.type == "cpu" and has_fast_bfloat16(hazy.device)
        inner = torch.bfloat16 if half else None
        k = by_strips(lambda part: self(part, inner_dtype=inner), REACH, hazy)
        return Estimate((hazy - 1).mul(k).add_(1).clamp_(0, 1), {"k": k})

    def loss(self, hazy: Tensor, clear: Tensor, transmission: Tensor) -> Tensor:
        """Squared error of the clear picture, before it is clipped."""
        return F.mse_loss((hazy - 1) * self(hazy) + 1, clear)


def convolve(convolution: nn.Module, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Convolution and ReLU, four neighbouring outputs at a time: the same values as
    ``convolution(image).relu()``."""
    weight, bias = parameters(convolution)
    batch, _, height, width = image.shape
    image = F.pad(image, (0, -width % COLUMNS)) if width % COLUMNS else image
    wide = block_weight(weight, 1, COLUMNS)
    kernel, bias, pixels = (
        part.to(dtype or image.dtype) for part in (wide, bias.repeat(COLUMNS), image)
    )
    kernel, pixels = (
        part.contiguous(memory_format=torch.channels_last) for part in (kernel, pixels)
    )
    blocks = (
        F.conv2d(pixels, kernel, bias, stride=(1, COLUMNS), padding=weight.shape[-1] // 2)
        .relu_()
        .to(image.dtype)
    )
    # Channels last, a block's channels are its pixels' channels one after the other: the whole
    # picture, without copying.
    return (
        blocks.permute(0, 2, 3, 1).reshape(batch, height, -1, 3)[:, :, :width].permute(0, 3, 1, 2)
    )
