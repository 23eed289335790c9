"""The air of a hazy picture: its colour, where it is bright and dark, and the noise of the camera
in it, so that other pictures can be put behind air of the same kind.

Low frequencies of the target on pictures of the source are the idea of Fourier domain adaptation
(Yang and Soatto, CVPR 2020); here they make the veil, by the scattering model, and leave the scene
behind it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dmaskrcnn.haze.gauge import opacity, opaque_colour

WAVES = 4  # along each side: from one end of the picture to the other, and no thing in it
# A veil is seldom less even; what is darker is a thing before it, brighter a lamp.
EVENNESS = (0.6, 1.15)
GRID = 32  # px that either side is reduced to for it, at most
OPAQUE = 4  # power of the opacity that a pixel counts with: half a veil a sixteenth
RIDGE = 0.02  # of the weight that all pixels would have behind an opaque veil
# Immerkaer, "Fast noise variance estimation", CVIU 1996, eq. 3: blind to what is linear
LAPLACIANS = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
MEDIAN = 0.6745  # of the absolute value of a Gaussian of unit deviation


@dataclass(frozen=True)
class Air:
    """What haze is made of.

    Attributes:
        airlight: RGB in [0, 1], float32 ``(3,)``.
        waves: the veil's brightness, in brightnesses of the airlight, as the lowest `WAVES` cosine
            waves along either side: float32 ``(WAVES, WAVES)``.
        noise: the standard deviation of the camera's, in [0, 1].
    """

    airlight: NDArray[np.float32]
    waves: NDArray[np.float32]
    noise: float

    @classmethod
    def of(cls, image: Tensor) -> Air:
        """The air in a hazy picture, uint8 ``(3, H, W)``, of the size at which others are to look
        like it: noise is less in a reduced picture."""
        pixels, grey = image.movedim(0, -1).contiguous().numpy(), image.float().mean(0).div_(255)
        airlight = opaque_colour(pixels)
        veil = grey / max(float(airlight.mean()), 1 / 255)
        # rounded: sums of other threads are other sums, and a resumed training is the same
        waves = _fit(veil, torch.from_numpy(opacity(pixels, airlight))).round(4)
        return cls(airlight, waves.astype(np.float32), round(_noise(grey), 5))

    def evenness(self, height: int, width: int, flip: bool) -> Tensor:
        """Factors of the airlight across a picture, float32 ``(H, W)`` in `EVENNESS`, perhaps
        mirrored."""
        field = cosines(height).T @ self.waves @ cosines(width)
        return torch.from_numpy(field[:, ::-1].copy() if flip else field).clamp_(*EVENNESS)


def cosines(length: int, waves: int = WAVES) -> NDArray[np.float32]:
    """The lowest cosine waves (DCT-II) along a side: float32 ``(waves, length)``."""
    order = np.arange(waves, dtype=np.float32)[:, None]
    return np.cos(np.pi * order * (np.arange(length, dtype=np.float32) + 0.5) / length)


def _fit(veil: Tensor, opacity: Tensor) -> NDArray[np.float64]:
    """The waves nearest to the veil where it is opaque: elsewhere the scene shows through. Weighted
    least squares, with a ridge that keeps a veil even that is seen in few places."""
    size = min(veil.shape[0], GRID), min(veil.shape[1], GRID)
    both = F.adaptive_avg_pool2d(torch.stack([veil, opacity])[None], size)[0].double().numpy()
    y, x = (cosines(n).astype(np.float64) for n in size)
    waves = np.einsum("ai,bj->ijab", y, x).reshape(-1, WAVES**2)
    weights = both[1].ravel() ** OPAQUE + 1e-6
    ridge = np.diag([0.0] + [RIDGE * weights.size] * (WAVES**2 - 1))
    weighted = waves * weights[:, None]
    fitted = np.linalg.solve(weighted.T @ waves + ridge, weighted.T @ both[0].ravel())
    return fitted.reshape(WAVES, WAVES)


def _noise(grey: Tensor) -> float:
    """By the median, which edges do not move."""
    if min(grey.shape) < len(LAPLACIANS):
        return 0.0
    kernel = torch.tensor(LAPLACIANS)
    rest = F.conv2d(grey[None, None], kernel[None, None]).abs_()
    return float(rest.median()) / (MEDIAN * float(kernel.norm()))
