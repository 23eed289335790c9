"""The dark channel prior (He, Sun, Tang, CVPR 2009 and PAMI 2011) with guided-filter refinement (He
et al., ECCV 2010): as published, and robust against what photographs of fog hold besides.

In clear outdoor pictures nearly every patch has a pixel that is dark in some colour; what light
such a patch shows is airlight.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dmaskrcnn.dehazing.guards import FLOOR, recover_gently, spare_sky, steady_airlight
from dmaskrcnn.dehazing.method import DehazingMethod, Estimate
from dmaskrcnn.haze.filters import (
    by_strips,
    fast_guided_filter,
    grey,
    guided_filter,
    minimum_filter,
)
from dmaskrcnn.haze.scattering import recover

PATCH = 15  # pixels; PAMI 2011, section 4.1
OMEGA = 0.95  # share of the haze to remove: a little left keeps distance visible; PAMI 2011, eq. 12
T_MIN = 0.1  # floor of the transmission, against amplified noise; PAMI 2011, eq. 22
# of the pixels, those with the brightest dark channel; PAMI 2011, section 4.3
AIRLIGHT_SHARE = 0.001
RADIUS, EPSILON = 60, 1e-3  # of the guided filter; ECCV 2010, section 4 (single image haze removal)
STEP = 4  # where quick, the filter works in a picture reduced by this factor


class _Prior(DehazingMethod):
    """What both have in common."""

    def _refined(self, coarse: Tensor, hazy: Tensor) -> Tensor:
        """The coarse transmission along the edges of the images."""
        guide = grey(hazy)
        if not self.quick or min(guide.shape[-2:]) < STEP:
            return guided_filter(guide, coarse, RADIUS, EPSILON)
        small = F.avg_pool2d(torch.cat((guide, coarse), 1), STEP, ceil_mode=True)
        found = [
            fast_guided_filter(one, few[0], few[1], RADIUS // STEP, EPSILON)
            for one, few in zip(guide[:, 0], small, strict=True)
        ]
        return torch.stack(found)[:, None]


class DarkChannel(_Prior):
    """The prior as a method; it has no weights."""

    def estimate(self, hazy: Tensor, for_8_bits: bool = False) -> Estimate:
        """The clear images, and the maps ``airlight`` ``(N, 3)`` and ``transmission`` ``(N, 1, H,
        W)`` in [0.1, 1]."""
        # black pictures would divide by zero
        airlight = estimate_airlight(hazy, dark_channel(hazy)).clamp(min=1 / 255)
        light = airlight[:, :, None, None]
        coarse = coarse_transmission(hazy, light)
        transmission = self._refined(coarse, hazy).clamp_(T_MIN, 1)
        clear = recover(hazy, transmission, light).clamp_(0, 1)
        return Estimate(clear, {"airlight": airlight, "transmission": transmission})


class RobustDarkChannel(_Prior):
    """The prior with the guards of ``guards.py``."""

    def estimate(self, hazy: Tensor, for_8_bits: bool = False) -> Estimate:
        """As of :class:`DarkChannel`; the transmission is in [0.2, 1]."""
        airlight = steady_airlight(hazy, dark_channel(hazy))
        light = airlight[:, :, None, None]
        coarse = spare_sky(coarse_transmission(hazy, light), hazy, light)
        transmission = self._refined(coarse, hazy).clamp_(FLOOR, 1)
        clear = recover_gently(hazy, transmission, light)
        return Estimate(clear, {"airlight": airlight, "transmission": transmission})


def coarse_transmission(hazy: Tensor, light: Tensor) -> Tensor:
    """``(N, 1, H, W)``, constant over patches, of images ``(N, 3, H, W)`` and their airlight ``(N,
    3, 1, 1)``; PAMI 2011, eq. 12."""
    return by_strips(lambda part: 1 - OMEGA * dark_channel(part / light), PATCH // 2, hazy)


def dark_channel(image: Tensor) -> Tensor:
    """The lowest value of any colour in the 15 by 15 pixels around: ``(N, 3, H, W)`` to ``(N, 1, H,
    W)``."""
    return minimum_filter(image.amin(dim=1, keepdim=True), PATCH)


def estimate_airlight(image: Tensor, dark: Tensor) -> Tensor:
    """The colour of the brightest pixel among the 0.1 % of the most haze-opaque ones.

    Args:
        image: ``(N, 3, H, W)`` in [0, 1].
        dark: its dark channel ``(N, 1, H, W)``.

    Returns:
        ``(N, 3)``.
    """
    count = max(1, round(AIRLIGHT_SHARE * dark[0].numel()))
    haziest = dark.flatten(1).topk(count, dim=1, sorted=False).indices
    colours = image.flatten(2).gather(2, haziest[:, None].expand(-1, 3, -1))  # (N, 3, count)
    brightest = colours.sum(dim=1).argmax(dim=1)
    return colours[torch.arange(len(image), device=image.device), :, brightest]
