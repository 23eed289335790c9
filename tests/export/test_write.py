"""`export_detector`: what it writes agrees, and what does not agree is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_cases import exported, needed, picture, save_untrained

from dmaskrcnn import Detector
from dmaskrcnn.errors import UserError
from dmaskrcnn.export import ExportedDetector, check, load, write
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


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("method", ["aod-net", "mscnn", "mscnn-released"])
def test_dehazing_goes_in(runtime: str, method: str, untrained: Path, tmp_path: Path):
    needed("onnx", "onnxruntime", "openvino")
    from dmaskrcnn.dehazing import Dehazer

    ours = load(exported(untrained, tmp_path / "out", runtime, dehaze=method))
    eager = Dehazer(method, ignore_rows=(0, 0))
    # even and odd sides, a radius of 0, and sides that pooling needs twice
    for size in ((70, 110), (33, 47), (5, 9), (1, 6), (4, 1)):
        image = picture(*size)
        hazy = image.permute(1, 2, 0).contiguous().numpy()
        clear = ours.dehazed(hazy).astype(int)
        assert np.abs(clear - eager(image)[0].permute(1, 2, 0).numpy()).max() <= 2
        assert size != (70, 110) or np.abs(clear - hazy).max() > 2


def test_dehazing_that_cannot_go_in(untrained: Path, tmp_path: Path):
    needed("onnx", "onnxruntime")
    said = "cannot be exported; choose from aod-net, mscnn, .* that `dmaskrcnn dehaze` wrote$"
    with pytest.raises(UserError, match=said):
        exported(untrained, tmp_path / "out", dehaze="dark-channel")
    assert not (tmp_path / "out").exists()


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


def test_damaged_masks_are_refused(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The boxes agree."""
    needed("onnx", "onnxruntime")

    def negated(detector: Detector, path: Path, pixels: np.ndarray) -> None:
        damaged = Detector(detector.classes, detector.config)
        damaged.load_state_dict(detector.state_dict())
        last: Any = damaged.roi_heads.mask_predictor
        with torch.no_grad():
            for value in last.mask_fcn_logits.parameters():
                value.neg_()
        honest(damaged, path, pixels)

    honest = write.write_detector
    monkeypatch.setattr(write, "write_detector", negated)
    with pytest.raises(UserError, match=r"the network does not agree .*masks to an IoU of 0\.0"):
        exported(untrained, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "model.json").read_text())["complete"] is False


@pytest.mark.parametrize("dehaze", ["none", "aod-net"])
def test_masks_damaged_in_whole_pictures_are_refused(
    dehaze: str, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is traced agrees; what is done with it in pictures does not."""
    needed("onnx", "onnxruntime")

    def shifted(detector: ExportedDetector, images: Any, *arguments: Any) -> Any:
        found = honest(detector, images, *arguments)
        return replace(found, masks=found.masks.roll(12, 2))

    honest = ExportedDetector.predict
    monkeypatch.setattr(ExportedDetector, "predict", shifted)
    monkeypatch.setattr(check, "SURE", 0.05)  # an untrained detector is sure of nothing
    with pytest.raises(UserError, match=r"found in whole pictures does not agree .*an IoU of 0\."):
        exported(untrained, tmp_path / "out", dehaze=dehaze)


def test_a_single_mask_may_be_a_little_off_in_whole_pictures(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As happens where the two ways of resizing differ by 1 of 255 under a flat border."""
    needed("onnx", "onnxruntime")

    def nibbled(detector: ExportedDetector, images: Any, *arguments: Any) -> Any:
        found = honest(detector, images, *arguments)
        masks = found.masks.clone()
        largest = int(masks.sum((1, 2)).argmax())
        inside = masks[largest].nonzero()
        for y, x in inside[: int(share * len(inside))].tolist():
            masks[largest, y, x] = False
        return replace(found, masks=masks)

    honest = ExportedDetector.predict
    monkeypatch.setattr(ExportedDetector, "predict", nibbled)
    monkeypatch.setattr(check, "SURE", 0.05)
    share = 0.03
    said = json.loads((exported(untrained, tmp_path / "out") / "model.json").read_text())
    whole = said["compared"]["whole"]
    assert 0.95 < whole["mask"] < 0.98
    assert whole["mean_mask"] > 0.99
    share = 0.5
    with pytest.raises(UserError, match="found in whole pictures does not agree"):
        exported(untrained, tmp_path / "other")


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
    with pytest.raises(UserError, match=r"onnxruntime is not installed: .*pip install 'dmaskrcnn"):
        exported(untrained, tmp_path / "out")
    assert not (tmp_path / "out").exists()
