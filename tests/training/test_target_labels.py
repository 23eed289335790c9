import json

import pytest
import torch

from dmaskrcnn.config.labelling import LABELS
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.detections import Detections
from dmaskrcnn.run import Run
from dmaskrcnn.training import target_labels
from dmaskrcnn.training.inputs import open_data


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
