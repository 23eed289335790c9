"""MSCNN: single image dehazing by multi-scale convolutional networks (Ren et al., ECCV 2016), as
its authors ran it.

A coarse network guesses the transmission, a fine one sharpens it, a guided filter fits it to the
picture's edges.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmaskrcnn.dehazing.dark_channel import dark_channel
from dmaskrcnn.dehazing.guards import recover_gently, spare_sky, steady_airlight
from dmaskrcnn.dehazing.method import DehazingNetwork, Estimate
from dmaskrcnn.dehazing.phases import block_weight, highest_of_block, parameters, upsampled_weight
from dmaskrcnn.haze.filters import by_strips, grey, guided_filter, minimum_filter
from dmaskrcnn.haze.scattering import recover

PATCH = 15  # pixels, of the airlight's minimum filter
# Rows that the transmission depends on: of the coarse network half a kernel of 11 px, and then of 9
# and of 7 px in the picture enlarged from half, 4 px each; one of a block; even.
REACH = 14
T_RANGE = (0.1, 0.9)
EPSILON = 0.04  # of the guided filter
# of the local response normalisation, on each side: MatConvNet's param [5, 1, 2e-5, 0.75]
ALPHA, NEIGHBOURS = 2e-5, 2


class ScaleNetwork(nn.Module):
    """One of the two networks: three times convolution, ReLU, max-pooling by 2, upsampling by 2;
    then a linear combination.

    Local response normalisation follows the first two. Everything after the first convolution is
    computed at half the resolution, which is exact: pooling and upsampling leave blocks of 2 by 2
    equal pixels (see ``phases``).

    Args:
        kernels: sides of the three kernels.
        channels: outputs of the three convolutions.
    """

    def __init__(self, kernels: tuple[int, int, int], channels: tuple[int, int, int]):
        super().__init__()
        inputs = (3, *channels[:2])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, k, padding=k // 2)
            for i, o, k in zip(inputs, channels, kernels, strict=True)
        )
        self.combination = nn.Conv2d(channels[2], 1, 1)

    def kernels(self, guided: bool) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each convolution, for blocks of 2 by 2; of the first one without its
        last channel if the network is ``guided`` by a guess."""
        weight, bias = parameters(self.convolutions[0])
        if guided:
            weight, bias = weight[:-1], bias[:-1]
        found = [(block_weight(weight, 2, 2), bias.repeat(4))]
        for convolution in self.convolutions[1:]:
            weight, bias = parameters(convolution)
            found.append((upsampled_weight(weight), bias.repeat(4)))
        return found

    def forward(
        self,
        image: Tensor,
        guess: Tensor | None = None,
        layers: list[Tensor] | None = None,
        kernels: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """The transmission at half the resolution (rounded down): ``(N, 3, H, W)`` to ``(N, 1, H //
        2, W // 2)`` in (0, 1).

        Args:
            image: divided by the airlight; at least 2 by 2 pixels.
            guess: ``(N, 1, H, W)``, takes the place of the last channel of the first convolution.
            layers: receives the outputs of the three stages, each before its upsampling.
            kernels: of :meth:`kernels`, where they are at hand.
        """
        first, *others = kernels or self.kernels(guess is not None)
        # of the padded kernel, whose side is one larger than the published one's
        padding = (first[0].shape[-1] - 1) // 2
        blocks = F.conv2d(image, *first, stride=2, padding=padding)
        features = highest_of_block(blocks).relu_()
        if guess is not None:
            features = torch.cat([features, F.max_pool2d(guess, 2)], dim=1)
        layers = [] if layers is None else layers
        for weight, bias in others:
            features = normalise_response(features)
            layers.append(features)
            blocks = F.conv2d(features, weight, bias, padding=weight.shape[-1] // 2)
            features = highest_of_block(blocks).relu_()
        layers.append(features)
        return self.combination(features).sigmoid()


def normalise_response(features: Tensor) -> Tensor:
    """Local response normalisation: ``x / (1 + alpha sum x^2) ** 0.75`` over two channels on each
    side (kappa is 1)."""
    channels = int(features.shape[1])  # a constant where this is traced
    place = torch.arange(channels, device=features.device)
    band = ((place[:, None] - place).abs() <= NEIGHBOURS).to(features.dtype)
    energy = F.conv2d(features.square(), ALPHA * band[:, :, None, None], torch.ones_like(band[0]))
    root = energy.rsqrt()
    return features * root * root.sqrt()


class MSCNN(DehazingNetwork):
    """Both networks.

    Args:
        released: leave the coarse map unused, as the authors' released MATLAB code does: it feeds
            the map to the fine network only if their sizes differ, which they never do. By default
            the fine network sees it, as in the paper.
    """

    def __init__(self, released: bool = False):
        super().__init__()
        self.released = released
        self.coarse = ScaleNetwork((11, 9, 7), (5, 5, 10))
        self.fine = ScaleNetwork((7, 5, 3), (6, 5, 10))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse and fine transmission, each ``(N, 1, H, W)``, of images ``(N, 3, H, W)`` divided
        by their airlight."""
        height, width = image.shape[-2:]
        if min(height, width) < 2:  # pooling needs a pair
            image = F.pad(image, (0, int(width < 2), 0, int(height < 2)), mode="replicate")
        coarse = by_strips(self.coarse, REACH, image, step=2)
        coarse = enlarge(coarse, image.shape[-2:])
        seen = (image,) if self.released else (image, coarse)
        fine = enlarge(by_strips(self.fine, REACH, *seen, step=2), image.shape[-2:])
        return coarse[..., :height, :width], fine[..., :height, :width]

    def estimate(self, hazy: Tensor, for_8_bits: bool = False) -> Estimate:
        """The clear images, and the maps ``airlight`` ``(N, 3)``, ``transmission`` and ``coarse``,
        the coarse network's, ``(N, 1, H, W)``."""
        airlight = estimate_airlight(hazy)
        light = airlight[:, :, None, None]
        coarse, fine = self(hazy / light)
        transmission = refine(hazy, airlight, fine)
        clear = recover(hazy, transmission, light).clamp_(0, 1)
        maps = {"airlight": airlight, "transmission": transmission, "coarse": coarse}
        return Estimate(clear, maps)

    def loss(self, hazy: Tensor, clear: Tensor, transmission: Tensor) -> Tensor:
        """Squared errors of both transmissions, without gradient between the networks: the paper
        trains one after the other."""
        balanced = hazy / estimate_airlight(hazy)[:, :, None, None]
        half = F.avg_pool2d(transmission, 2)  # what the networks give, before the upsampling
        coarse = self.coarse(balanced)
        fine = self.fine(balanced, enlarge(coarse.detach(), hazy.shape[-2:]))
        return F.mse_loss(coarse, half) + F.mse_loss(fine, half)


class RobustMSCNN(MSCNN):
    """The published networks, with the guards of ``guards.py`` around them."""

    def estimate(self, hazy: Tensor, for_8_bits: bool = False) -> Estimate:
        """As of :class:`MSCNN`."""
        airlight = steady_airlight(hazy, dark_channel(hazy))
        light = airlight[:, :, None, None]
        # Where a lamp outshines the airlight, the networks would see what no training showed them.
        coarse, fine = self((hazy / light).clamp_(max=1))
        transmission = refine(hazy, airlight, spare_sky(fine, hazy, light))
        clear = recover_gently(hazy, transmission, light)
        maps = {"airlight": airlight, "transmission": transmission, "coarse": coarse}
        return Estimate(clear, maps)


def enlarge(half: Tensor, size: torch.Size) -> Tensor:
    """Nearest upsampling by 2; where the image has an odd side, resized to it bicubically, as
    MATLAB's ``imresize``."""
    full = F.interpolate(half, scale_factor=2, mode="nearest")
    if full.shape[-2:] == size:
        return full
    # antialias has no effect on enlarging but to choose MATLAB's (Keys') cubic, a = -0.5, for
    # PyTorch's a = -0.75
    return F.interpolate(full, size, mode="bicubic", align_corners=False, antialias=True).clamp_(
        0, 1
    )


def estimate_airlight(image: Tensor) -> Tensor:
    """Per channel the brightest of the 15 by 15 minima: ``(N, 3, H, W)`` in [0, 1] to ``(N,
    3)``."""
    # black pictures would divide by zero
    return minimum_filter(image, PATCH).amax(dim=(2, 3)).clamp(min=1 / 255)


def refine(image: Tensor, airlight: Tensor, transmission: Tensor) -> Tensor:
    """Fits the transmission to the picture: less haze where it is darker or brighter than the
    airlight, and along its edges.

    With d the luma's distance from the airlight's, ``s = (d^2 + 0.1 / t) / (d^2 + 0.1)`` is
    smoothed by a guided filter; t = 1 / s.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1].
        airlight: ``(N, 3)``.
        transmission: ``(N, 1, H, W)`` in (0, 1).

    Returns:
        ``(N, 1, H, W)`` in [0.1, 0.9].
    """
    luma = grey(image)
    scale = amplification(luma, grey(airlight[:, :, None, None]), transmission)
    radius = min(image.shape[-2:]) // 8
    return guided_filter(luma, scale, radius, EPSILON).reciprocal_().clamp_(*T_RANGE)


def amplification(luma: Tensor, light: Tensor, transmission: Tensor) -> Tensor:
    """s of :func:`refine`, of the lumas of image and airlight."""
    contrast = (luma - light).square_()
    return (contrast + 0.1 / transmission.clamp(min=1e-4)) / (contrast + 0.1)
