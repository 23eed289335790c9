from dataclasses import replace

import torch

from dmaskrcnn.data.masks_field import held_masks
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.methods.parts.consensus import agreed

CAR, BUS = 0, 1
LEFT, NEAR_LEFT = [10.0, 10, 30, 30], [12.0, 10, 32, 30]
RIGHT = [60.0, 10, 80, 30]


def said(*objects: tuple[list[float], int, bool]) -> Annotations:
    """Boxes, classes, and whether whoever says so is sure."""
    no = torch.zeros(len(objects), dtype=torch.bool)
    return Annotations(
        torch.tensor([box for box, _, _ in objects]).reshape(-1, 4),
        torch.tensor([label for _, label, _ in objects], dtype=torch.int64),
        no_masks(len(objects), 40, 100),
        no,
        torch.tensor([not sure for _, _, sure in objects], dtype=torch.bool),
        no,
    )


def test_what_both_see_is_an_object_between_their_boxes():
    both = agreed(said((LEFT, CAR, False)), said((NEAR_LEFT, CAR, False)))
    assert both.crowd.tolist() == [False]
    assert both.boxes.tolist() == [[11.0, 10, 31, 30]]


def test_what_one_sees_alone_stays_as_sure_as_it_was():
    alone = agreed(said((LEFT, CAR, True)), said((RIGHT, CAR, False)))
    assert alone.boxes.tolist() == [LEFT, RIGHT]
    assert alone.crowd.tolist() == [False, True]


def test_the_brought_class_counts():
    both = agreed(said((LEFT, CAR, True)), said((NEAR_LEFT, BUS, True)))
    assert both.labels.tolist() == [CAR]
    assert both.boxes.tolist() == [LEFT]


def test_one_object_confirms_one():
    twice = said((NEAR_LEFT, CAR, True), ([14.0, 10, 34, 30], CAR, True))
    both = agreed(said((LEFT, CAR, False)), twice)
    assert both.boxes.tolist() == [[11.0, 10, 31, 30]]
    assert both.crowd.tolist() == [False]


def test_nothing_on_either_side():
    nothing = said()
    one = said((LEFT, CAR, True))
    assert len(agreed(nothing, nothing)) == 0
    assert agreed(nothing, one).boxes.tolist() == [LEFT]
    assert agreed(one, nothing).boxes.tolist() == [LEFT]


def test_masks_come_along_and_stay_packed():
    """Those of pictures in full size, whose frames take a thousand times as much."""
    frames = torch.zeros(3, 40, 100, dtype=torch.bool)
    for row, (left, _, right, _) in enumerate((LEFT, NEAR_LEFT, RIGHT)):
        frames[row, 10:30, int(left) : int(right)] = True
    yes = torch.ones(2, dtype=torch.bool)
    brought = replace(said((LEFT, CAR, False)), masks=PackedMasks.of_frames(frames[:1]))
    seen = said((NEAR_LEFT, CAR, False), (RIGHT, CAR, True))
    seen = replace(seen, masks=PackedMasks.of_frames(frames[1:]), has_mask=yes)
    both = agreed(brought, seen)
    assert isinstance(held_masks(both), PackedMasks)
    assert both.has_mask.tolist() == [False, True]
    assert torch.equal(both.masks, frames[[0, 2]])
    assert torch.equal(agreed(replace(brought, masks=frames[:1]), seen).masks, both.masks)
