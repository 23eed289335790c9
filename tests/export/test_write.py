"""`export_detector`: what it writes agrees, and what does not agree is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_cases import exported, needed, picture, save_untrained

from dmaskrcnn import Detector
from dmaskrcnn.errors import UserError
from dmaskrcnn.export import load, write
from dmaskrcnn.export.agreement import agree

SIZES = ((64, 96), (33, 47), (200, 300), (90, 200), (3, 5))


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_same_objects_at_any_size(kind: str, untrained: Path, request: pytest.FixtureRequest):
    folder = request.getfixturevalue(f"{kind}_folder")
    detector, ours = Detector.load(untrained, "cpu", "float32"), load(folder)
    small = [detector.resize(picture(*size, seed=i)) for i, size in enumerate(SIZES)]
    found = agree((detector.predict(image, 0.05), ours.predict(image, 0.05)) for image in small)
    assert found.objects > 20
    assert (found.lost, found.added) == (0, 0)
    assert found.box < 0.01
    assert found.mask >= 0.99


def test_folder_says_what_it_is(onnx_folder: Path):
    said = json.loads((onnx_folder / "model.json").read_text())
    assert (said["format"], said["complete"]) == ("dmaskrcnn export 1", True)
    assert said["classes"] == ["car", "person", "bus"]
    assert said["files"] == ["model.onnx"] == list(said["digests"])
    assert {"dmaskrcnn", "torch", "onnx"} <= set(said["made_with"])
    assert said["compared"]["same input"]["lost"] == 0


def test_dehazing_goes_in(untrained: Path, tmp_path: Path):
    needed("onnx", "onnxruntime")
    from dmaskrcnn.dehazing import Dehazer

    ours = load(exported(untrained, tmp_path / "out", dehaze="aod-net"))
    image = picture(70, 110)
    wanted = Dehazer("aod-net", ignore_rows=(0, 0))(image)[0].permute(1, 2, 0).numpy()
    clear = ours.dehazed(image.permute(1, 2, 0).contiguous().numpy())
    assert np.abs(clear.astype(int) - wanted).max() <= 2
    assert np.abs(clear.astype(int) - image.permute(1, 2, 0).numpy()).max() > 2
    with pytest.raises(UserError, match="cannot be exported"):
        exported(untrained, tmp_path / "other", dehaze="mscnn")


def test_an_export_that_differs_stays_incomplete(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    needed("onnx", "onnxruntime")

    def other(detector: Detector, path: Path, pixels: np.ndarray) -> None:
        torch.manual_seed(9)
        honest(Detector(detector.classes, detector.config), path, pixels)

    honest = write.write_detector
    monkeypatch.setattr(write, "write_detector", other)
    with pytest.raises(UserError, match="does not agree with the run"):
        exported(untrained, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "model.json").read_text())["complete"] is False
    with pytest.raises(UserError, match="was not finished or did not pass"):
        load(tmp_path / "out")
    monkeypatch.undo()
    load(exported(untrained, tmp_path / "out"))  # the folder is ours: written anew


def test_weights_that_are_not_finite_are_refused(tmp_path: Path):
    run = save_untrained(tmp_path / "run")
    detector = Detector.load(run, "cpu")
    with torch.no_grad():
        detector.roi_heads.box_predictor.cls_score.weight[0, 0] = float("nan")  # pyright: ignore
    detector.save(run)
    with pytest.raises(UserError, match=r"cls_score.weight holds values that are not finite"):
        exported(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_foreign_files_are_not_overwritten(untrained: Path, tmp_path: Path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UserError, match="was not written by dmaskrcnn export"):
        exported(untrained, tmp_path)


def test_a_package_that_is_missing(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"onnxruntime is not installed: pip install 'dmaskrcnn"):
        exported(untrained, tmp_path / "out")
    assert not (tmp_path / "out").exists()
