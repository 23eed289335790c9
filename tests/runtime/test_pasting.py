"""Pasted masks against torchvision's, of which the detector makes its own."""

from __future__ import annotations

import numpy as np
import torch

from dmaskrcnn.detector.roi_heads import paste_masks as eager
from dmaskrcnn.runtime.masks import paste_masks


def test_pasted_as_torchvision_does():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(40, 7, 7, generator=generator)
    masks = torch.nn.functional.interpolate(masks[:, None], (28, 28), mode="bicubic").clamp(0, 1)
    corner = torch.rand(40, 2, generator=generator) * 80
    boxes = torch.cat([corner, corner + torch.rand(40, 2, generator=generator) * 90], 1)
    boxes[:, 0::2].clamp_(max=100)  # as detectors clip them; torchvision fails outside
    boxes[:, 1::2].clamp_(max=80)
    boxes[:2] = torch.tensor([[0.0, 0, 100, 80], [5, 5, 5, 5]])
    wanted = eager(masks, boxes, 80, 100).frames().numpy()
    ours = paste_masks(masks[:, 0].numpy(), boxes.numpy(), 80, 100).frames().numpy()
    assert wanted.any(axis=(1, 2)).sum() > 30
    # a pixel on the edge may differ by the order of sums
    different = (ours != wanted).sum(axis=(1, 2))
    assert different.max() <= 1
    assert (different > 0).mean() < 0.1


def test_outside_the_picture_there_is_nothing():
    boxes = np.array([[-50, -50, -20, -20], [30, 3, 40, 8]], np.float32)
    assert not paste_masks(np.ones((2, 28, 28), np.float32), boxes, 10, 20).areas.any()


def test_boxes_without_masks_stay_empty():
    boxes = np.array([[0, 0, 8, 8], [2, 2, 6, 6]], np.float32)
    pasted = paste_masks(np.ones((1, 28, 28), np.float32), boxes, 10, 10)
    assert (pasted.areas > 0).tolist() == [True, False]
    assert paste_masks(np.zeros((0, 28, 28), np.float32), boxes[:0], 4, 5).shape == (0, 4, 5)
