"""PSNR and SSIM of the dehazing benchmark, and what the shipped weights reach by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from quality import psnr, ssim

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing import Dehazer

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "sots_indoor"


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    """SSIM written out window by window, as in Wang et al. 2004 with uniform weights and sample
    covariances."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 10, 12))
    image = (truth + rng.integers(-40, 41, truth.shape)).clip(0, 255)
    values = []
    for x, y in zip(image.astype(float), truth.astype(float), strict=True):
        for top in range(10 - 6):
            for left in range(12 - 6):
                a, b = (part[top : top + 7, left : left + 7].ravel() for part in (x, y))
                (va, cab), (_, vb) = np.cov(a, b)
                c1, c2 = 2.55**2, 7.65**2
                ab = (2 * a.mean() * b.mean() + c1) * (2 * cab + c2)
                values.append(ab / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)))
    ours, theirs = (torch.from_numpy(part.astype(np.uint8)) for part in (image, truth))
    assert ssim(ours, theirs) == pytest.approx(np.mean(values), abs=1e-9)
    assert psnr(ours, theirs) == pytest.approx(
        10 * np.log10(255**2 / np.mean((image - truth) ** 2))
    )
    assert psnr(ours, ours) == float("inf")


@pytest.mark.realdata
@pytest.mark.skipif(not PAIRS.is_dir(), reason="../shared/data/sots_indoor is not here")
@pytest.mark.parametrize("method", ["dark-channel", "aod-net", "mscnn"])
def test_every_default_gains_three_decibels_on_indoor_haze(method: str) -> None:
    """RESIDE SOTS-indoor: a quarter of the pairs, of which the whole has hazy 12.6 dB."""
    gains = []
    dehazer = Dehazer(method)
    for file in sorted((PAIRS / "hazy").iterdir())[::4]:
        hazy, clear = decode_image(file), decode_image(PAIRS / "clear" / file.name)
        gains.append(psnr(dehazer(hazy)[0], clear) - psnr(hazy, clear))
    assert np.mean(gains) > 3
