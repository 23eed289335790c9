import json

import numpy as np
import pytest
import torch

from dmaskrcnn.config.labelling import LABELS
from dmaskrcnn.data import open_images
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.detections import Detections
from dmaskrcnn.run import Run
from dmaskrcnn.training import target_labels, target_look
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.loop import train


@pytest.mark.parametrize(("shift", "said"), [(0, "lack 0%"), (30, "lack 100%"), (None, "")])
def test_labels_are_trusted_that_lack_little_of_what_the_detector_is_sure_of(
    tiny, hazy, tmp_path, monkeypatch, capsys, shift, said
):
    config = tiny(target=(hazy,), method="teacher")
    source, target = open_data(config)
    score = 0.4 if shift is None else 0.9  # sure of nothing: nothing is known against the labels
    box = torch.tensor([[10.0, 10, 40, 30]])
    seen = Detections(
        box, torch.tensor([1]), torch.tensor([score]), no_masks(1, 1, 1), tuple(source.classes)
    )

    class Known:
        def predict(self, _, threshold):
            return seen.above(threshold)

    monkeypatch.setattr(target_labels.Detector, "load", lambda *_, **__: Known())
    corner = 10.0 + (shift or 0)
    # neither object nor background
    label = {"category_name": "car", "bbox": [corner, 10, 30, 20], "score": 0.3}
    labels = [{"image_id": image, **label} for image in target.image_ids]
    (tmp_path / LABELS).write_text(json.dumps(labels))
    arguments = Run(tmp_path), tmp_path, source, target, 0.5, torch.device("cpu")
    assert target_labels.trusted(*arguments) == (shift != 30)
    printed = capsys.readouterr().err
    assert said in printed
    assert ("the second round does without" in printed) == (shift == 30)


def test_pictures_that_have_labels_are_taken_first(hazy, tmp_path, monkeypatch):
    monkeypatch.setattr(target_look, "LOOKS", 1)
    target = open_images(hazy)
    ids = target.image_ids
    box = {"bbox": [10, 10, 30, 20], "score": 0.9, "category_name": "car"}
    (tmp_path / "found.json").write_text(json.dumps([{"image_id": ids[i], **box} for i in (3, 4)]))
    chosen = target_labels.evenly(target, 4, tmp_path / "found.json").image_ids
    assert chosen == [ids[0], ids[1], ids[3], ids[4]]  # the look, those, and one more
    assert target_labels.evenly(target, 2, tmp_path / "found.json").image_ids == [ids[0], ids[3]]
    assert len(target_labels.evenly(target, 6, tmp_path / "none.json")) == 6


def test_what_was_labelled_last_is_what_is_learnt(tiny, hazy, tmp_path, monkeypatch):
    """A labelling that is stopped and goes on after pictures came may choose others."""
    run = Run(train(tiny(method="source", iterations=1)))
    source, target = open_data(tiny(target=(hazy,), method="teacher"))
    nothing = Detections(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0), no_masks(0, 1, 1), ()
    )
    monkeypatch.setattr(target_labels, "look", lambda *_: nothing)
    assert target_labels.looked_at(target, tmp_path) is target
    for part in ([1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 1, 1]):
        some = target.select(np.array(part, dtype=bool))
        target_labels.label_target(run, tmp_path, source, some, torch.device("cpu"))
        assert target_labels.looked_at(target, tmp_path).image_ids == some.image_ids
