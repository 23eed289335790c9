"""A training step asks a GPU for no number on the way: counted on the CPU, on tensors that only
pretend to be on a GPU. What would wait for it, or mixes devices, is an error there."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from detector_cases import TINY
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dmaskrcnn.data import Annotations
from dmaskrcnn.detector.assignment import Truth
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.roi_heads import take_class
from dmaskrcnn.methods.parts.thresholds import Thresholds

GPU = torch.device("cuda", 0)


@pytest.fixture
def detector() -> Iterator[Detector]:
    made = Detector(("car", "person"), TINY).train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in made.modules():
            for name, value in list(module._parameters.items()):
                if value is not None:
                    moved = torch.empty_like(value, device=GPU)
                    module._parameters[name] = nn.Parameter(moved, value.requires_grad)
            for name, value in list(module._buffers.items()):
                if value is not None:
                    module._buffers[name] = torch.empty_like(value, device=GPU)
        generator = made.rpn.anchor_generator
        generator.cell_anchors = [torch.empty(c.shape, device=GPU) for c in generator.cell_anchors]
        yield made


def objects(count: int) -> Annotations:
    no = [torch.zeros(count, dtype=torch.bool, device=GPU) for _ in range(3)]
    masks = torch.zeros(count, 64, 96, dtype=torch.bool, device=GPU)
    labels = torch.zeros(count, dtype=torch.int64, device=GPU)
    return Annotations(torch.empty(count, 4, device=GPU), labels, masks, *no)


def test_from_images_to_the_box_losses(detector: Detector):
    images = detector.normalise(
        [torch.empty(3, 64, 96, dtype=torch.uint8, device=GPU) for _ in range(2)]
    )
    features = detector.features(images)
    outputs = detector.rpn.outputs(images, features)
    truth = Truth.of([objects(3), objects(5)])
    losses = detector.rpn._losses(outputs, truth, [1, 2])
    # the one look at a GPU there, whether suppression has come to its end
    with patch.object(torch, "equal", return_value=True) as looks:
        proposals = detector.rpn.propose(outputs, images.image_sizes)
    assert looks.call_count == 1
    chosen = detector.roi_heads.select(proposals, truth, [1, 2])
    logits, deltas = detector.roi_heads.box_outputs(
        features, list(chosen.boxes), images.image_sizes
    )
    losses["box"] = take_class(deltas, chosen.labels, chosen.positives).sum() + logits.sum()
    assert {loss.device for loss in losses.values()} == {GPU}
    assert all(loss.requires_grad for loss in losses.values())


def test_thresholds_follow(detector: Detector):
    thresholds = Thresholds(2)
    thresholds.on(GPU)
    thresholds.see(torch.zeros(5, dtype=torch.int64, device=GPU), torch.ones(5, device=GPU))
    thresholds.follow()
    assert thresholds.values.device == GPU


def test_a_number_that_is_asked_for_would_show(detector: Detector):
    with pytest.raises(Exception, match="local_scalar_dense"):
        torch.zeros(1, device=GPU).item()
