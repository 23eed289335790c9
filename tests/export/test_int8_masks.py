"""int8 that keeps the boxes and loses the masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from export_cases import CLASSES, exported, needed, pixels
from PIL import Image

from dmaskrcnn import Detector
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.export import write
from dmaskrcnn.export.write import Quantisation


def labelled_by(detector: Detector, folder: Path) -> Path:
    """Pictures whose labels are what a detector finds in them, masks and all."""
    ids = {name: number for number, name in enumerate(CLASSES, 1)}
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    for number in range(3):
        picture = pixels(64, 96, number)
        Image.fromarray(picture).save(folder / f"{number}.png")
        image = {"id": number, "file_name": f"{number}.png", "width": 96, "height": 64}
        content["images"].append(image)
        found = detector.predict(torch.from_numpy(picture).permute(2, 0, 1), 0.05)
        assert isinstance(found, Detections)
        for one in found.to_coco(number, ids):
            box = one["bbox"]
            extent = {"id": len(content["annotations"]) + 1, "area": box[2] * box[3], "iscrowd": 0}
            content["annotations"].append({**one, **extent})
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("allowed", [0.02, 1.0])
def test_masks_that_are_lost(
    allowed: float, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A quantisation that turns every mask inside out, as its box stays where it was."""
    needed("onnx", "onnxruntime", "nncf")
    detector = Detector.load(untrained, "cpu", "float32")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    test = open_test_set((labelled_by(detector, pictures),), known=CLASSES)
    last: Any = detector.roi_heads.mask_predictor
    with torch.no_grad():
        for value in last.mask_fcn_logits.parameters():
            value.neg_()

    def damaging(model: Path, feeds: Any, path: Path) -> None:
        write.write_detector(detector, path, pixels(64, 96))

    monkeypatch.setattr(write, "quantise_onnx", damaging)
    int8 = Quantisation(sorted(pictures.glob("*.png")), test, allowed)
    out = tmp_path / "out"
    if allowed == 1.0:
        said = json.loads((exported(untrained, out, int8=int8) / "model.json").read_text())["int8"]
        assert said["voc/AP50"][1] == said["voc/AP50"][0] > 0.3
        assert said["mask/AP50"][1] < 0.5 * said["mask/AP50"][0]
        return
    with pytest.raises(
        UserError, match=r"of the masks' AP50 are lost on --test; allow it with --a"
    ):
        exported(untrained, out, int8=int8)
    assert json.loads((out / "model.json").read_text())["complete"] is False
