"""Packed masks against the reference encoder, and what must not become one."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as reference

from dmaskrcnn.data import packed_masks
from dmaskrcnn.data.masks_field import held_masks
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.packed_masks import NOTHING, PackedMasks
from dmaskrcnn.detections import Detections


def random_frames(seed: int) -> np.ndarray:
    """Of any density; thin, and full columns that go on in the next one."""
    generator = np.random.default_rng(seed)
    count, height, width = generator.integers([0, 1, 1], [6, 24, 24]).tolist()
    frames = np.zeros((count, height, width), dtype=bool)
    for frame in frames:
        top, left = generator.integers(height), generator.integers(width)
        part = frame[top : top + generator.integers(1, 25), left : left + generator.integers(1, 25)]
        part[:] = generator.random(part.shape) < generator.choice([0.0, 0.1, 0.8, 1.0])
    return frames


@pytest.mark.parametrize("seed", range(40))
def test_frames_go_in_and_come_out_as_the_reference_packs_them(seed: int):
    frames = random_frames(seed)
    packed = PackedMasks.of_frames(torch.from_numpy(frames))
    wanted = [reference.encode(np.asfortranarray(one.view(np.uint8))) for one in frames]
    assert packed.rles == [{**one, "counts": one["counts"].decode()} for one in wanted]
    assert torch.equal(packed.frames(), torch.from_numpy(frames))
    assert all(np.array_equal(*pair) for pair in zip(packed.each_frame(), frames, strict=True))
    assert packed.areas.tolist() == frames.sum((1, 2)).tolist()
    assert packed.shape == frames.shape
    again = PackedMasks.of_crops(packed.height, packed.width, packed.crops())
    assert (
        again.counts == packed.counts == PackedMasks.checked(*frames.shape[1:], again.counts).counts
    )


@pytest.mark.parametrize("runs", [0, 10, 60])
def test_packed_some_at_a_time_they_are_the_same(runs: int, monkeypatch: pytest.MonkeyPatch):
    frames = np.random.default_rng(0).random((8, 9, 7)) < 0.5
    frames[3] = False
    wanted = PackedMasks.of_frames(frames)
    monkeypatch.setattr(packed_masks, "AT_ONCE", runs)
    assert PackedMasks.of_frames(frames).counts == wanted.counts


def test_a_window_is_no_larger_than_its_mask():
    frames = np.zeros((2, 9, 7), dtype=bool)
    frames[0, 2:5, 3:6] = True
    (crop, empty) = PackedMasks.of_frames(frames).crops()
    assert (crop.top, crop.left, crop.inside.shape) == (2, 3, (3, 3))
    assert crop.inside.all()
    assert empty is NOTHING
    moved = PackedMasks.of_frames(frames).moved(0, 10, 20)
    assert (moved.top, moved.left) == (12, 23)


def test_objects_are_chosen_as_those_of_tensors_are():
    frames = random_frames(3)
    packed = PackedMasks.of_frames(frames)
    assert len(packed) == 4
    mask = torch.tensor([True, False, True, False])
    for keep in (mask, mask.numpy(), torch.tensor([3, 1]), slice(1, 3), torch.zeros(0).long()):
        assert torch.equal(packed[keep].frames(), torch.from_numpy(frames)[keep])


@pytest.mark.parametrize("counts", ["11", "", "zzz", "T", "\x00", "é", "5" * 50, "P1", "`0", "l0O"])
def test_run_lengths_that_do_not_add_up_are_refused(counts: str):
    with pytest.raises(ValueError, match="run"):
        PackedMasks.of_segmentations(4, 5, [{"size": [4, 5], "counts": counts}])


def test_every_way_to_write_a_mask_gives_the_same():
    listed = {"size": [4, 5], "counts": [9, 1, 10]}
    texts = {"size": [4, 5], "counts": "91:"}
    polygon = [[2, 1, 3, 1, 3, 2, 2, 2]]
    packed = PackedMasks.of_segmentations(4, 5, [listed, texts, None, polygon])
    assert packed.areas.tolist() == [1, 1, 0, 1]
    assert len(set(packed.counts)) == 2


def test_boxes_alone_take_no_memory():
    packed = PackedMasks.of_frames(no_masks(3, 1 << 14, 1 << 14))
    assert packed.shape == (3, 1 << 14, 1 << 14)
    assert not packed.areas.any()


def found() -> tuple[Detections, torch.Tensor]:
    """Detections whose masks are packed, and these as frames."""
    frames = torch.from_numpy(random_frames(3))
    boxes, labels = torch.rand(4, 4), torch.zeros(4, dtype=torch.int64)
    packed = PackedMasks.of_frames(frames)
    return Detections(boxes, labels, torch.rand(4), packed, ("car",)), frames


def test_detections_make_frames_once_and_when_they_are_read():
    one, frames = found()
    part = one[torch.tensor([2, 0])]
    copies = [copy.deepcopy(one), pickle.loads(pickle.dumps(one)), one.to("cpu"), one[:]]
    texts = one.to_json(), one.to_coco(1, {"car": 1})
    assert all(isinstance(held_masks(each), PackedMasks) for each in [one, part, *copies])
    assert one.masks is one.masks
    assert one.masks.dtype == torch.bool
    for each in [one, *copies]:
        assert torch.equal(each.masks, frames)
        assert (each.to_json(), each.to_coco(1, {"car": 1})) == texts
    assert torch.equal(part.masks, frames[[2, 0]])
    one.masks[1] = True  # as ever, they are the object's own
    assert one[1].packed.areas.tolist() == [frames[0].numel()]
    assert torch.equal(replace(one, scores=one.scores / 2).masks, one.masks)


def test_mirrored_is_the_frames_flipped():
    frames = np.zeros((3, 7, 11), dtype=bool)
    frames[0, 2:5, 3:9], frames[1, 0, 10] = True, True  # and one that is empty
    mirrored = PackedMasks.of_frames(frames).mirrored()
    assert np.array_equal(np.asarray(mirrored.frames()), frames[:, :, ::-1])
    assert PackedMasks.of_frames(frames[:, :, ::-1]).counts == mirrored.counts
