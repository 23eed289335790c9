"""An exported detector takes what a detector takes, and answers alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from export_cases import picture, pixels
from PIL import Image

from dmaskrcnn import Detector
from dmaskrcnn.detector.limits import Limits
from dmaskrcnn.errors import UserError
from dmaskrcnn.export import load


def test_every_form_of_an_image(onnx_folder: Path, untrained: Path, tmp_path: Path):
    eager, ours, array = (
        Detector.load(untrained, "cpu", "float32"),
        load(onnx_folder),
        pixels(64, 96),
    )
    file = tmp_path / "a.png"
    Image.fromarray(array).save(file)
    floats = array.astype(np.float32) / 255
    forms = [file, str(file), file.read_bytes(), array, Image.fromarray(array), floats]
    forms += [picture(64, 96), picture(64, 96).float() / 255]
    wanted = ours.predict(array, 0.05)
    assert len(wanted)
    for form in forms:
        found = ours.predict(form, 0.05)
        assert torch.equal(found.boxes, wanted.boxes)
        assert torch.equal(found.masks, wanted.masks)
        image = eager.predict(form, 0.05).image
        assert torch.equal(found.image, image) if torch.is_tensor(image) else found.image == image
    turned = ours.predict(np.ascontiguousarray(array[..., ::-1]), 0.05, channels="bgr")
    assert torch.equal(turned.boxes, wanted.boxes)
    batch = torch.stack([picture(64, 96)] * 2)
    for several, count in ((forms, 8), (iter(forms), 8), (tmp_path, 1), (batch, 2), ([], 0)):
        assert [len(found) for found in ours.predict(several, 0.05)] == [len(wanted)] * count
    assert [found.image for found in ours.predict([file, array], 0.05)] == [file, None]


def test_what_is_no_image_is_refused_alike(onnx_folder: Path, untrained: Path, tmp_path: Path):
    eager, ours, array = (
        Detector.load(untrained, "cpu", "float32"),
        load(onnx_folder),
        pixels(64, 96),
    )
    wrong = [array.astype(float), array[..., :2], [array, None], tmp_path, tmp_path / "no.png"]
    for images in wrong:
        said = []
        for detector in (eager, ours):
            with pytest.raises(UserError) as error:
                detector.predict(images)
            said.append(str(error.value))
        assert said[0] == said[1]
    with pytest.raises(UserError, match="threshold: 2 is no score"):
        ours.predict(array, 2)


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
