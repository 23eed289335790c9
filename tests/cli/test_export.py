"""`dmaskrcnn export`, and the verbs that take what it wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from export_cases import needed, save_untrained

from dmaskrcnn.cli.main import main

FLAGS: list[tuple[tuple[str, ...], str]] = [
    (("--int8",), "--int8 needs pictures of the target: name a folder with --calibrate"),
    (("--calibrate", "x"), "--calibrate is for --int8"),
    (("--test", "x"), "--test is for --int8"),
    (("--allow-loss", "2"), "--allow-loss must be in [0, 1], got 2"),
    (
        ("--dehaze", "dark-channel"),
        "--dehaze dark-channel: cannot be exported; choose from aod-net",
    ),
    (("--compare", "nowhere"), "nowhere: no such picture or folder; check the path"),
]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="module")
def exported(untrained: Path, clear: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("onnx", "onnxruntime")
    out = tmp_path_factory.mktemp("exported") / "out"
    main(["export", str(untrained), "--out", str(out), "--compare", str(clear / "images")])
    return out


@pytest.mark.parametrize(("flags", "said"), FLAGS, ids=[" ".join(flags) for flags, _ in FLAGS])
def test_bad_flags(
    flags: tuple[str, ...], said: str, untrained: Path, tmp_path: Path, fails: Callable[..., str]
):
    assert said.lower() in fails("export", untrained, "--out", tmp_path / "out", *flags).lower()
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported(exported: Path, tmp_path: Path, fails: Callable[..., str]):
    out = tmp_path / "out"
    assert "holds no model.safetensors" in fails("export", tmp_path, "--out", out)
    assert "was exported already" in fails("export", exported, "--out", out)


def test_says_what_was_compared(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    needed("onnx", "onnxruntime")
    main(["export", str(untrained), "--out", str(tmp_path / "out")])
    out, said = capsys.readouterr()
    assert out.strip() == str(tmp_path / "out")
    assert "compared on 8 rendered scenes" in said
    assert "same input: 8 pictures, " in said


def test_other_verbs_take_it(
    exported: Path, untrained: Path, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "exported"
    shutil.copytree(exported, run)
    flags = ["--threshold", "0.05", "--device", "cpu"]
    main(["predict", str(run), str(clear / "images"), "--out", str(tmp_path / "found"), *flags])
    assert "ONNX Runtime, float32, of " in capsys.readouterr().err
    found = json.loads((tmp_path / "found" / "detections.json").read_text())["images"]
    assert sum(len(image["detections"]) for image in found) > 10

    data = str(clear / "annotations.json")
    main(["evaluate", str(untrained), str(run), "--data", data, "--bootstrap", "0"])
    ours, theirs = (
        json.loads(next(folder.glob("evaluate-*/scores.json")).read_text())
        for folder in (run, untrained)
    )
    assert ours["metrics"].keys() == theirs["metrics"].keys()
    out = tmp_path / "compare"
    main(
        [
            "compare",
            "--runs",
            str(untrained),
            str(run),
            "--data",
            data,
            "--out",
            str(out),
            "--bootstrap",
            "0",
        ]
    )
    assert (out / "report.html").is_file()
    assert len(json.loads((out / "comparison.json").read_text())["rows"]) == 2
