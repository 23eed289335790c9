import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from dmaskrcnn.data import Annotations
from dmaskrcnn.detector import assignment
from dmaskrcnn.detector.assignment import Truth, match


def annotations(boxes: Tensor, crowd: list[int] = []) -> Annotations:  # noqa: B006
    count = len(boxes)
    no = torch.zeros(count, dtype=torch.bool)
    crowds = no.clone()
    crowds[crowd] = True
    labels = torch.arange(count)
    return Annotations(boxes, labels, torch.zeros(count, 8, 8, dtype=torch.bool), no, crowds, no)


def some_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 60
    return torch.cat((corner, corner + 2 + 40 * torch.rand(count, 2, generator=generator)), 1)


@pytest.mark.parametrize(("high", "low", "quality"), [(0.7, 0.3, True), (0.5, 0.5, False)])
@pytest.mark.parametrize("together", [2**25, 1])
def test_matches_as_torchvision_does(high, low, quality, together, monkeypatch):
    monkeypatch.setattr(assignment, "OVERLAPS", together)
    objects = [some_boxes(n, n) for n in (5, 1, 0, 12)]
    candidates = torch.stack([some_boxes(300, 90 + i) for i in range(4)])
    labels, index = match(
        Truth.of([annotations(o) for o in objects]), candidates, high, low, quality
    )
    shared = match(Truth.of([annotations(o) for o in objects]), candidates[0], high, low, quality)
    assert torch.equal(labels[0], shared[0][0])
    for image, boxes in enumerate(objects):
        if not len(boxes):
            assert (labels[image] == 0).all()
            continue
        expected = Matcher(high, low, quality)(box_iou(boxes, candidates[image]))
        assert torch.equal(labels[image] == 1, expected >= 0)
        assert torch.equal(labels[image] == 0, expected == Matcher.BELOW_LOW_THRESHOLD)
        found = expected >= 0
        assert torch.equal(index[image][found], expected[found])


def test_what_lies_in_a_crowd_is_neither_positive_nor_negative():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 100, 10], [50, 50, 60, 60], [20, 0, 40, 20]])
    truth = Truth.of([annotations(torch.tensor([[0.0, 0, 40, 40], [20, 0, 40, 20]]), [0])])
    labels, index = match(truth, boxes, 0.5, 0.5)
    assert labels.tolist() == [[-1, 0, 0, 1]]
    assert index[0, 3] == 1


def test_objects_stand_side_by_side():
    truth = Truth.of([annotations(some_boxes(3, 0), [1]), annotations(some_boxes(0, 1))])
    assert truth.real.tolist() == [[True, False, True], [False] * 3]
    assert truth.crowd.tolist() == [[False, True, False], [False] * 3]
    assert truth.boxes.shape == (2, 3, 4)
    none = Truth.of([annotations(some_boxes(0, 1))] * 2)
    assert none.boxes.shape == (2, 1, 4)
    assert not none.real.any()
    assert match(none, some_boxes(6, 2), 0.5, 0.5)[0].tolist() == [[0] * 6] * 2
