"""Run lengths against the reference encoder."""

from __future__ import annotations

import numpy as np
import pytest
from faster_coco_eval.core import mask as reference

from dmaskrcnn.data.rle import encode, run_lengths


@pytest.mark.parametrize("seed", range(8))
def test_encoded_as_the_reference_encodes_the_whole_frame(seed: int):
    generator = np.random.default_rng(seed)
    for _ in range(60):
        height, width = generator.integers(1, 24, 2).tolist()
        mask = np.zeros((height, width), dtype=bool)
        top, left = generator.integers(height), generator.integers(width)
        part = mask[top : top + generator.integers(1, 25), left : left + generator.integers(1, 25)]
        part[:] = generator.random(part.shape) < generator.choice([0.0, 0.3, 0.8, 1.0])
        wanted = reference.encode(np.asfortranarray(mask.view(np.uint8)))
        assert encode(mask) == {"size": [height, width], "counts": wanted["counts"].decode()}
        assert sum(run_lengths(mask)) == mask.size


def test_edges_of_the_frame():
    for mask in (np.ones((3, 4), bool), np.zeros((3, 4), bool), np.eye(4, dtype=bool)):
        wanted = reference.encode(np.asfortranarray(mask.view(np.uint8)))
        assert encode(mask)["counts"] == wanted["counts"].decode()
    assert encode(np.zeros((0, 5), bool)) == {"size": [0, 5], "counts": "0"}
