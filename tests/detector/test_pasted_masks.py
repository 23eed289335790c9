"""Masks in the picture: to the bit torchvision's, and computed for what is returned alone."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from untrained import UNTRAINED

from dmaskrcnn import Detector
from dmaskrcnn.detector.roi_heads import paste_masks

HEIGHT, WIDTH = 83, 120


def test_pasting_inside_the_box_is_torchvisions_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(60, 1, 7, 7, generator=generator)
    masks = torch.nn.functional.interpolate(masks, (28, 28), mode="bicubic").clamp(0, 1)
    corner = torch.rand(60, 2, generator=generator) * 80
    boxes = torch.cat([corner, corner + torch.rand(60, 2, generator=generator) ** 3 * 90], 1)
    boxes[:, 0::2].clamp_(max=WIDTH)
    boxes[:, 1::2].clamp_(max=HEIGHT)
    boxes[0] = torch.tensor([0.0, 0, WIDTH, HEIGHT])
    boxes[1] = torch.tensor([5.0, 5, 5, 5])  # of no size
    wanted = paste_masks_in_image(masks, boxes, (HEIGHT, WIDTH))[:, 0] >= 0.5
    assert wanted.flatten(1).any(1).sum() > 40
    assert torch.equal(paste_masks(masks, boxes, HEIGHT, WIDTH).frames(), wanted)


def test_boxes_outside_and_boxes_without_a_mask_stay_empty():
    boxes = torch.tensor([[-50.0, -50, -20, -20], [130, 3, 140, 8], [2, 2, 9, 9]])
    assert not paste_masks(torch.ones(2, 1, 28, 28), boxes, HEIGHT, WIDTH).areas.any()


@pytest.mark.parametrize("best", [False, True])
def test_the_mask_head_runs_for_what_is_returned(best: bool):
    torch.manual_seed(0)
    detector = Detector(("person", "car"), UNTRAINED).eval()
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    seen: list[int] = []
    detector.roi_heads.mask_predictor.register_forward_hook(
        lambda module, inputs, output: seen.append(len(output))
    )
    everything = detector.predict(image, threshold=0.0)
    assert len(everything) > 3
    threshold = float(everything.scores[2])
    few = detector.predict(image, threshold=threshold, best=best)
    none = detector.predict(image, threshold=1.0, best=best)
    assert len(few) == int((everything.scores >= threshold).sum())
    assert seen == [len(everything), len(few), len(none)]
    assert len(none) == int(best)
    assert torch.equal(few.masks, everything.masks[: len(few)])
