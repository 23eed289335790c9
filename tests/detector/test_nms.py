import pytest
import torch
from torchvision.ops import batched_nms, nms

from dmaskrcnn.detector.nms import grouped_nms, moved_apart


@pytest.mark.parametrize("count", [0, 1, 400, 6000])
def test_one_call_for_all_groups_as_on_a_gpu(count):
    generator = torch.Generator().manual_seed(count)
    corner = torch.rand(count, 2, generator=generator) * 1300
    boxes = torch.cat((corner, corner + 100 * torch.rand(count, 2, generator=generator)), 1)
    scores = torch.rand(count, generator=generator)
    groups = torch.randint(5, (count,), generator=generator)
    expected = batched_nms(boxes, scores, groups, 0.3)
    assert torch.equal(grouped_nms(boxes, scores, groups, 0.3), expected)
    found = nms(moved_apart(boxes, groups), scores.double(), 0.3)
    assert torch.equal(found, expected)
    assert count < 2 or len(found) < count
