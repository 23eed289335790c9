"""An exported detector takes what a detector takes, and answers alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from export_cases import picture, pixels
from PIL import Image

from dmaskrcnn import Detector
from dmaskrcnn.detector.limits import Limits
from dmaskrcnn.errors import UserError
from dmaskrcnn.export import load


def test_every_form_of_an_image(onnx_folder: Path, tmp_path: Path):
    ours, array = load(onnx_folder), pixels(64, 96)
    Image.fromarray(array).save(tmp_path / "a.png")
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), array, Image.fromarray(array)]
    forms.append(picture(64, 96))
    wanted = ours.predict(array, 0.05)
    assert len(wanted)
    for form in forms:
        found = ours.predict(form, 0.05)
        assert torch.equal(found.boxes, wanted.boxes)
        assert torch.equal(found.masks, wanted.masks)
    assert [len(found) for found in ours.predict(forms, 0.05)] == [len(wanted)] * 5
    assert ours.predict([]) == []
    for wrong in (array.astype(float), array[..., :2], picture(64, 96).float()):
        with pytest.raises(UserError, match="expected a uint8 array"):
            ours.predict(wrong)


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("limits", [Limits(), Limits(0.001, 0.3), Limits(0.2, 0.0)])
def test_limits_and_best(onnx_folder: Path, untrained: Path, best: bool, limits: Limits):
    eager, ours = Detector.load(untrained, "cpu", "float32"), load(onnx_folder)
    image = picture(64, 96)
    for threshold in (0.0, 0.3, 0.99):
        wanted = eager.predict(image, threshold, limits, best)
        found = ours.predict(image, threshold, limits, best)
        assert torch.equal(found.labels, wanted.labels)
        torch.testing.assert_close(found.boxes, wanted.boxes, atol=1e-3, rtol=0)
        of_each = (found.masks != wanted.masks).flatten(1).sum(1)
        assert len(of_each) == 0 or of_each.max() <= 2  # pixels on an edge
