"""Non-maximum suppression within groups: levels of a pyramid, classes, images.

torchvision's on a GPU goes through the boxes one by one in a single block of threads: 9,000
proposals of an image took 3 ms of a training step's 9 there (docs/performance.md).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from dmaskrcnn.detector.boxes import OVERLAPS, intersections

# rounds between two looks at whether anything changes; chains of boxes that hide one another are
# seldom longer
ROUNDS = 16
# numbers of the matrix of who hides whom, for lists that share their rounds: 256 MB
HIDING = 2**27


def one_by_one(device: torch.device) -> bool:
    """Whether going through boxes in their order is quick: on a CPU, which would spend long on the
    overlaps of all with all."""
    return device.type == "cpu"


def grouped_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """What no better box of its own group overlaps by more than ``threshold``.

    Args:
        boxes: float32 ``(n, 4)``, xyxy.
        scores: float32 ``(n,)``.
        groups: int64 ``(n,)``, from 0.
        threshold: IoU in [0, 1].

    Returns:
        int64 indices, by falling score.
    """
    if one_by_one(boxes.device):
        return batched_nms(boxes, scores, groups, threshold)
    # One call, where torchvision waits for the GPU at every group of a large n.
    return nms(moved_apart(boxes, groups), scores.double(), threshold)


def moved_apart(boxes: Tensor, groups: Tensor) -> Tensor:
    """The boxes of each group where no other group's are; float64, in which overlaps stay."""
    extent = boxes.amax() + 1 if len(boxes) else 1
    return boxes.double() + (groups * extent).double()[:, None]


def ranked_nms(boxes: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression of many lists at once, each sorted by falling score.

    A box stays if no better one that stays overlaps it: from all boxes on, that is looked at again
    until nothing changes (Cluster-NMS, Zheng et al., IEEE Trans. Cybernetics 2022, algorithm 2),
    which is what going through them one by one gives. A GPU is waited for once, mostly.

    Args:
        boxes: float32 ``(L, K, 4)``, xyxy.
        valid: bool ``(L, K)``; the others neither stay nor hide any.
        threshold: IoU in [0, 1].

    Returns:
        bool ``(L, K)``: what stays.
    """
    lists, count = valid.shape
    # of no area: they overlap nothing
    boxes = boxes * valid[:, :, None]
    together = max(1, HIDING // max(1, count * count))
    stay = [_stay(part, threshold) for part in boxes.split(together)] if lists else [valid]
    return torch.cat(stay) & valid


def _stay(boxes: Tensor, threshold: float) -> Tensor:
    lists, count, _ = boxes.shape
    # float16 for the matrix product: what is asked is whether a sum of ones and zeros is zero
    hides = torch.empty(lists, count, count, dtype=torch.float16, device=boxes.device)
    together = max(1, OVERLAPS // max(1, count * count))
    for some, part in zip(hides.split(together), boxes.split(together), strict=True):
        shared, areas, covered = intersections(part, part)
        union = (areas[:, :, None] + covered).sub_(shared)
        some.copy_(shared.div_(union) > threshold)
    hides.triu_(1)
    before = stay = hides.new_ones(lists, 1, count)
    while True:
        for _ in range(ROUNDS):  # two launches each
            before, hidden = stay, torch.bmm(stay, hides)
            stay = torch.eq(hidden, 0, out=torch.empty_like(hidden))
        if torch.equal(stay, before):
            return stay[:, 0] > 0
