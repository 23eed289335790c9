"""The depth of a photograph, estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dmaskrcnn.data import Annotations, Sample
from dmaskrcnn.images.picture_depth import picture_depth


def test_a_mask_has_no_rim_of_clear_air():
    """Against a wall that looks the same: nothing but the mask tells where the object ends."""
    image = torch.full((3, 400, 640), 120, dtype=torch.uint8)
    mask = torch.zeros(1, 400, 640, dtype=torch.bool)
    mask[0, 100:380, 200:330] = True
    flag = torch.ones(1, dtype=torch.bool)
    box = torch.tensor([[200.0, 100.0, 330.0, 380.0]])
    sample = Sample(
        image,
        Path("x.png"),
        1,
        Annotations(box, torch.zeros(1, dtype=torch.int64), mask, flag, ~flag, ~flag),
    )
    for seed in range(3):
        depth = picture_depth(sample, ("person",), np.random.default_rng(seed))
        assert np.ptp(depth[101:379, 201:329]) < 0.01 * depth[200, 250]
        assert depth[110, 205] < 0.8 * depth[110, 180]
        np.testing.assert_allclose(depth[110, :199], depth[110, 20], rtol=1e-3)
