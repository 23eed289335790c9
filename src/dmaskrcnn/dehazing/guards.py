"""What the robust methods do beside the published ones, for photographs of fog: JPEG blocks, lamps
and skies that no prior expects.

Published methods divide by transmissions down to 0.1, in every colour alike. In a foggy sky that
multiplies JPEG's blocks of colour, 2 to 4 of 255 high, by ten. The numbers here were chosen by eye
on photographs of fog without labels (DAWN); docs/dehazing.md has what they change.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dmaskrcnn.haze.filters import box_mean, by_strips, grey, guided_filter

# Of the pixels, those whose median is the airlight: ten times the published share, more than a
# lamp or a window covers.
SHARE = 0.01
SATURATED = 250 / 255  # burnt-in writing, lamps and the sun, where fog is less bright
FLOOR = 0.2  # of the transmission: noise of 2 of 255, usual in JPEG's skies, stays below 10
# What differs less from the airlight is sky, or holds nothing but noise: there the transmission is
# raised in proportion (the tolerance of Jiang, Hou and Qi, 2011). Over windows of 31 px: a pixel's
# own difference is noise as well.
SKY, SKY_RADIUS = 15 / 255, 15
FINE_GAIN = 3.0  # of detail weaker than EDGE: half of it is noise
FINE_RADIUS, FINE_EDGE = 4, 0.015**2  # half a JPEG block; variance of a noise of 4 of 255
# JPEG keeps colour in blocks of 16 px: the filter spans two. Its edges are the luma's, above a
# deviation of 8 of 255.
COLOUR_RADIUS, COLOUR_EDGE = 16, 1e-3
COLOUR_GAIN = 1.5  # the 3 of 255 that colour is wrong by after the filter stay invisible


def steady_airlight(image: Tensor, dark: Tensor) -> Tensor:
    """The median colour of the most haze-opaque pixels that are not saturated.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1].
        dark: its dark channel ``(N, 1, H, W)``.

    Returns:
        ``(N, 3)`` in [1/255, 1].
    """
    count = max(1, round(SHARE * dark[0].numel()))
    # Saturated ones come last, if all else is too few. The pixels count, not their dark channel: a
    # bar of a few rows has a picture's in its windows.
    rank = torch.where(image.amin(dim=1, keepdim=True) > SATURATED, dark - 1, dark)
    haziest = rank.flatten(1).topk(count, dim=1, sorted=False).indices
    colours = image.flatten(2).gather(2, haziest[:, None].expand(-1, 3, -1))
    return colours.median(dim=2).values.clamp(min=1 / 255)


def spare_sky(transmission: Tensor, image: Tensor, light: Tensor) -> Tensor:
    """The transmission ``(N, 1, H, W)`` in [FLOOR, 1], raised where ``image`` ``(N, 3, H, W)`` is
    hardly distinguishable from the airlight ``light`` ``(N, 3, 1, 1)``."""
    return by_strips(partial(_spared, light=light), SKY_RADIUS, transmission, image)


def _spared(transmission: Tensor, image: Tensor, light: Tensor) -> Tensor:
    distance = (image - light).abs_().amax(dim=1, keepdim=True)
    distance = box_mean(distance.double(), SKY_RADIUS).float().clamp_(min=1e-3)
    return transmission.clamp(min=FLOOR).mul(SKY / distance.clamp_(max=SKY)).clamp_(max=1)


def recover_gently(image: Tensor, transmission: Tensor, light: Tensor) -> Tensor:
    """The clear images, as :func:`~dmaskrcnn.haze.scattering.recover` but with gains that are less
    than ``1 / t`` for what is mostly noise: fine detail, and colour.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1].
        transmission: ``(N, 1, H, W)`` in (0, 1].
        light: the airlight ``(N, 3, 1, 1)``.

    Returns:
        ``(N, 3, H, W)`` in [0, 1].
    """
    reach = 2 * max(FINE_RADIUS, COLOUR_RADIUS)
    return by_strips(partial(_recovered, light=light), reach, image, transmission)


def _recovered(image: Tensor, transmission: Tensor, light: Tensor) -> Tensor:
    gain = transmission.clamp(min=FLOOR).reciprocal()
    luma, light_luma = grey(image), grey(light)
    smooth = guided_filter(luma, luma, FINE_RADIUS, FINE_EDGE)
    clear = light_luma + (smooth - light_luma) * gain + (luma - smooth) * gain.clamp(max=FINE_GAIN)
    colour, light_colour = image - luma, light - light_luma
    smooth = guided_filter(luma, colour, COLOUR_RADIUS, COLOUR_EDGE)
    colour = light_colour + (smooth - light_colour) * gain.clamp(max=COLOUR_GAIN) + colour - smooth
    return colour.add_(clear).clamp_(0, 1)
