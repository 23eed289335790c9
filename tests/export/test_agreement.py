from __future__ import annotations

from dataclasses import replace

import torch

from dmaskrcnn.detections import Detections
from dmaskrcnn.export.agreement import agree


def detections(boxes: list[list[float]], labels: list[int], scores: list[float]) -> Detections:
    masks = torch.zeros(len(boxes), 20, 20, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[round(y1) : round(y2), round(x1) : round(x2)] = True
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores),
        masks,
        ("car", "bus"),
    )


def test_differences_are_found():
    one = detections([[0, 0, 10, 10], [0, 0, 9, 10], [12, 12, 18, 18]], [0, 0, 1], [0.9, 0.8, 0.7])
    other = detections([[0, 0, 10, 9], [12, 12, 18, 18]], [0, 0], [0.85, 0.7])
    found = agree([(one, other)])
    # of two cars the surer one is found again; a bus is no car
    assert (found.pictures, found.objects, found.lost, found.added) == (1, 3, 2, 1)
    assert found.box == 1
    assert abs(found.score - 0.05) < 1e-6
    assert abs(found.mask - 0.9) < 1e-9
    assert abs(found.kept - 1 / 3) < 1e-9


def test_the_worst_and_the_mean():
    one = detections([[0, 0, 10, 10], [10, 10, 20, 20]], [0, 1], [0.9, 0.8])
    other = detections([[0, 0, 10, 10], [10, 10, 20, 18]], [0, 1], [0.9, 0.8])
    found = agree([(one, other)])
    assert (found.box, found.mean_box) == (2, 1)
    assert (found.mask, found.mean_mask) == (0.8, 0.9)


def test_a_pixel_at_the_threshold_is_no_difference():
    one = detections([[0, 0, 4, 4]], [0], [0.9])
    masks = one.masks.clone()
    masks[0, 0, 0] = False
    assert agree([(one, replace(one, masks=masks))]).mask == 1
    masks[0, 0, 1] = False
    assert agree([(one, replace(one, masks=masks))]).mask == 14 / 16


def test_nothing_agrees_with_nothing():
    empty = detections([], [], [])
    found = agree([(empty, empty)])
    assert (found.objects, found.lost, found.added, found.kept, found.mask) == (0, 0, 0, 1, 1)
