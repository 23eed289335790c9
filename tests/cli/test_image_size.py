"""`--image-size` and RUN@SIZE: the size at which a detector reads a picture, chosen after its
training, in every verb that lets one predict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from export_cases import exported, needed, picture

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main
from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import open_run
from dmaskrcnn.runtime.exported import load


def call(*words: object) -> None:
    main([str(word) for word in words])


def test_a_run_at_another_size(run: Path):
    own, larger = Detector.load(run, "cpu"), open_run(f"{run}@128").detector("cpu")
    ratio = own.config.max_size / own.config.image_size
    assert larger.config.image_size == 128
    assert larger.config.max_size == round(128 * ratio)
    direct = Detector.load(run, "cpu", image_size=128)
    image = picture(64, 96)
    assert direct.resize(image).shape[1] == 128
    boxes = [one.predict(image, 0.0).boxes for one in (larger, direct)]
    assert (boxes[0] == boxes[1]).all()


def test_of_an_export_too(run: Path, tmp_path: Path):
    needed("onnx", "onnxruntime")
    folder = exported(run, tmp_path / "export")
    image = picture(100, 150)
    # as the export computes: bfloat16, where a processor has it, settles near ties in another way
    detector = Detector.load(run, "cpu", image_size=80).set_precision("float32")
    eager = detector.predict(image, 0.3)
    found = load(folder, image_size=80).predict(image, 0.3)
    assert len(found) == len(eager) > 0
    assert abs(found.boxes - eager.boxes).max() < 0.1


def test_a_folder_that_is_called_so(run: Path, tmp_path: Path):
    named = tmp_path / "run@64"
    shutil.copytree(run, named)
    assert (open_run(named).path, open_run(named).image_size) == (named, 0)
    assert (open_run(f"{named}@32").path, open_run(f"{named}@32").image_size) == (named, 32)


def test_runs_at_two_sizes_are_two_rows(run: Path, clear: Path, tmp_path: Path):
    out = tmp_path / "compared"
    words = ["--data", clear, "--out", out, "--bootstrap", 0]
    call("compare", "--runs", run, f"{run}@128", *words)
    rows = load_comparison(out).rows
    assert [row.group.runs[0].image_size for row in rows] == [0, 128]
    assert rows[1].name.endswith("@128")
    assert rows[0].predictions[0].read_text() != rows[1].predictions[0].read_text()


def test_kept_predictions_know_their_size(run: Path, clear: Path, tmp_path: Path):
    out, kept = tmp_path / "compared", []
    for size in (48, 128, 128):
        words = ["--image-size", size, "--data", clear, "--out", out, "--bootstrap", 0]
        call("compare", "--runs", run, *words)
        (file,) = load_comparison(out).rows[0].predictions
        kept.append((file.name, file.stat().st_mtime_ns))
    assert kept[0] != kept[1] == kept[2]


@pytest.mark.parametrize("verb", ["evaluate", "report", "predict", "export"])
def test_verbs(
    verb: str, run: Path, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    own, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(run, own)
    if verb == "evaluate":
        call(verb, own, "--data", clear, "--bootstrap", 0, "--image-size", 128)
        assert len([*own.glob("evaluate-*-128px")]) == 1
        assert f"{own}@128" in capsys.readouterr().out
    elif verb == "report":
        call(verb, own, "--data", clear, "--out", out, "--image-size", 128)
        assert "run@128" in out.read_text()
    elif verb == "predict":
        found = []
        for size in (0, 128):
            call(
                verb, own, clear, "--out", out / str(size), "--threshold", 0.0, "--image-size", size
            )
            found.append((out / str(size) / "detections.json").read_text())
        assert found[0] != found[1]
    else:
        needed("onnx", "onnxruntime")
        call(verb, own, "--out", out, "--compare", clear, "--image-size", 128)
        assert json.loads((out / "model.json").read_text())["detector"]["image_size"] == 128


def test_bad_sizes(run: Path, tmp_path: Path, fails: Callable[..., str]):
    words = ["--out", tmp_path / "out"]
    assert "at least 1" in fails("predict", run, tmp_path, *words, "--image-size", -3)
    said = fails("predict", f"{run}@99999", tmp_path, *words)
    assert said.startswith("--image-size 99999: ")
    assert "no such run folder" in fails("predict", tmp_path / "none@64", tmp_path, *words)
    own = tmp_path / "run"
    shutil.copytree(run, own)
    (tmp_path / "run@64").mkdir()
    said = fails("predict", own, tmp_path, *words, "--image-size", 64)
    assert said.endswith(f"run@64: is in the way of {own} at --image-size 64; rename it")
    with pytest.raises(UserError, match=r"--image-size -1"):
        Detector.load(run, image_size=-1)
