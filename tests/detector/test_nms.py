import pytest
import torch
from torchvision.ops import batched_nms, nms

from dmaskrcnn.detector import nms as module
from dmaskrcnn.detector.nms import grouped_nms, moved_apart, ranked_nms


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


@pytest.mark.parametrize("rounds", [1, 16])
@pytest.mark.parametrize("together", [2**25, 1])
def test_many_lists_at_once_as_one_by_one(rounds, together, monkeypatch):
    monkeypatch.setattr(module, "OVERLAPS", together)
    monkeypatch.setattr(module, "ROUNDS", rounds)
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(6, 400, 2, generator=generator) * 60
    boxes = torch.cat((corner, corner + 4 + 20 * torch.rand(6, 400, 2, generator=generator)), 2)
    valid = torch.rand(6, 400, generator=generator) > 0.1
    valid[5] = False
    stay = ranked_nms(boxes, valid, 0.4)
    falling = torch.arange(400, 0, -1).float()
    for own, there, found in zip(boxes, valid, stay, strict=True):
        rows = there.nonzero()[:, 0]
        expected = rows[nms(own[rows], falling[rows], 0.4)]
        assert found.nonzero()[:, 0].tolist() == expected.sort().values.tolist()
    assert 0 < stay.sum() < valid.sum() / 2


def test_a_long_chain_in_which_every_second_box_stays():
    """Each box hides the next: box 0 hides 1, which then does not hide 2."""
    left = torch.arange(300.0) * 3
    boxes = torch.stack((left, left * 0, left + 10, left * 0 + 10), 1)[None]
    stay = ranked_nms(boxes, torch.ones(1, 300, dtype=torch.bool), 0.5)
    assert stay[0].tolist() == [True, False] * 150
