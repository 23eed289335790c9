"""How close a dehazed picture is to the clear one: PSNR and SSIM as scikit-image defines them, for
comparable figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor

WINDOW = 7  # pixels; scikit-image's default, with uniform weights and sample covariances


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio [dB] of two uint8 images ``(3, H, W)``; infinite where they are
    equal."""
    error = float((image.double() - truth.double()).square().mean())
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(image: Tensor, truth: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) of two uint8 images ``(3, H, W)``, at least 7 by 7:
    the mean of the channels.

    As ``skimage.metrics.structural_similarity(…, channel_axis=0, data_range=255)``: windows that
    cross the border are left out.
    """
    return float(
        np.mean(
            [
                _ssim(a.numpy().astype(float), b.numpy().astype(float))
                for a, b in zip(image, truth, strict=True)
            ]
        )
    )


def _ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    sample = WINDOW**2 / (WINDOW**2 - 1)
    mean_x, mean_y = uniform_filter(x, WINDOW), uniform_filter(y, WINDOW)
    variance_x = sample * (uniform_filter(x * x, WINDOW) - mean_x**2)
    variance_y = sample * (uniform_filter(y * y, WINDOW) - mean_y**2)
    covariance = sample * (uniform_filter(x * y, WINDOW) - mean_x * mean_y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    edge = WINDOW // 2
    return float((above / below)[edge:-edge, edge:-edge].mean())
