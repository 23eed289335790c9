"""Resizing is torchvision's, without what importing that costs."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from dmaskrcnn.detector.transform import resized


@pytest.mark.parametrize("size", [(37, 53), (128, 90), (5, 300)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_equals_torchvision(size: tuple[int, int], channels_last: bool, dtype: torch.dtype):
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8).to(dtype)
    if channels_last:
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    expected = transforms.resize(image, list(size), antialias=True)
    assert torch.equal(resized(image, size), expected)
    assert resized(image, size).stride() == expected.stride()


def test_same_size_is_the_same_image():
    image = torch.zeros(3, 8, 9, dtype=torch.uint8)
    assert resized(image, (8, 9)) is image
