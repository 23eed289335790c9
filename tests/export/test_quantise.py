"""int8: made, stated, and refused where it costs too much."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from export_cases import CLASSES, exported, needed, pixels
from PIL import Image

from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.export import load, write
from dmaskrcnn.export.write import Quantisation


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(3):
        Image.fromarray(pixels(64, 96, seed)).save(folder / f"{seed}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_int8(
    runtime: str,
    untrained: Path,
    pictures: list[Path],
    clear: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
):
    needed("onnx", "onnxruntime", "openvino", "nncf")
    test = open_test_set(clear / "annotations.json", known=CLASSES)
    out = tmp_path / "out"
    exported(untrained, out, runtime, int8=Quantisation(pictures, test, allow_loss=1.0))
    said = json.loads((out / "model.json").read_text())
    assert (said["precision"], said["complete"]) == ("int8", True)
    assert said["int8"]["calibrated_on"] == 3
    assert len(said["int8"]["voc/AP50"]) == 2
    smaller = load(out)
    found = smaller.predict(pixels(64, 96), 0.05)
    assert len(found)
    whole = request.getfixturevalue(f"{runtime}_folder")
    sizes = [sum(f.stat().st_size for f in folder.glob("model.[ob]*")) for folder in (out, whole)]
    assert sizes[0] < 0.5 * sizes[1]


def test_a_loss_is_refused(
    untrained: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    needed("onnx", "onnxruntime")

    def wrong(model: Path, feeds: list, path: Path) -> None:
        assert feeds[0]["image"].dtype == np.uint8
        path.write_bytes((other / "model.onnx").read_bytes())

    from export_cases import save_untrained

    other = exported(save_untrained(tmp_path / "run", seed=5), tmp_path / "other")
    monkeypatch.setattr(write, "quantise_onnx", wrong)
    monkeypatch.setattr(write, "SURE", 0.05)  # an untrained detector is sure of nothing
    with pytest.raises(UserError, match=r"of the objects are lost; .*with --allow-loss"):
        exported(untrained, tmp_path / "out", int8=Quantisation(pictures))
    assert json.loads((tmp_path / "out" / "model.json").read_text())["complete"] is False
