"""Evaluate, predict and inspect as a person meets them: above all with wrong input, which gives one
line, exit code 2 and no harm."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from data_files import truncate, write_image
from disk import contents, full_disk
from signalled import signalled

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main


class TestEvaluate:
    def test_output(
        self, run: Path, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        out = tmp_path / "out"
        main(["evaluate", str(run), "--data", str(clear), "--bootstrap", "10", "--out", str(out)])
        text = capsys.readouterr().out
        assert text.startswith(f"{run}\n6 images, mean over 2 classes")
        assert text.endswith(f"\npredictions and scores: {out}\n\n")
        before = contents(out)
        arguments = [
            str(run),
            str(out / "predictions.json"),
            "--data",
            str(clear),
            "--bootstrap",
            "10",
        ]
        main(["evaluate", *arguments, "--out", str(tmp_path / "both")])
        text = capsys.readouterr().out
        assert f"{out / 'predictions.json'} against {run}\ndifference in points" in text
        assert {p.name for p in (tmp_path / "both").iterdir()} == {run.name, "predictions"}
        main(["evaluate", *arguments[1:], "--by-size", "--classes", "car"])
        said = capsys.readouterr().out
        assert "\nby size: small to 32 x 32 px" in said
        assert "\ncar    small " in said
        assert contents(out) == before

    def test_bad_input(
        self, run: Path, clear: Path, hazy: Path, tmp_path: Path, fails: Callable[..., str]
    ):
        boats = tmp_path / "boats"
        Detector(("boat",), Detector.load(run).config).save(boats)
        other = tmp_path / "other.json"
        other.write_text(
            json.dumps([{"image_id": 777, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}])
        )
        (tmp_path / "text.json").write_text("hello")
        (tmp_path / "file").write_text("in the way")
        before = contents(run)

        def evaluate(*arguments: object) -> str:
            return fails("evaluate", *arguments, "--bootstrap", 10)

        assert "model.json: not found" in evaluate(tmp_path / "gone", "--data", clear)
        assert "gone.json: no such file" in evaluate(tmp_path / "gone.json", "--data", clear)
        assert "gone: no such file or folder" in evaluate(run, "--data", tmp_path / "gone")
        assert "holds images but no labels" in evaluate(run, "--data", hazy)
        assert "--classes boat: " in evaluate(run, "--data", clear, "--classes", "boat")
        assert "no boat in the data" in evaluate(boats, "--data", clear, "--classes", "boat")
        assert "boats: has no class in common" in evaluate(run, boats, "--data", clear)
        assert "has no class that the detector knows" in evaluate(boats, "--data", clear)
        assert "image_id 777 is not in the data set" in evaluate(other, "--data", clear)
        assert "text.json: is not JSON" in evaluate(tmp_path / "text.json", "--data", clear)
        assert "file/out: cannot be written" in evaluate(
            run, "--data", clear, "--out", tmp_path / "file" / "out"
        )
        assert "--batch-size must be at least 1" in evaluate(
            run, "--data", clear, "--batch-size", 0
        )
        assert contents(run) == before

    def test_truncated_picture(
        self, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]
    ):
        broken = Path(shutil.copytree(clear, tmp_path / "broken"))
        picture = sorted((broken / "images").iterdir())[3]
        truncate(picture)
        message = fails("evaluate", run, "--data", broken, "--out", tmp_path / "out")
        assert message.startswith(f"{picture}: cannot read the picture")
        assert contents(tmp_path / "out") == {}

    def test_difference_of_other_ground_truth(
        self,
        run: Path,
        clear: Path,
        tmp_path: Path,
        fails: Callable[..., str],
        monkeypatch: pytest.MonkeyPatch,
    ):
        """Cannot be reached from the command line unless the data change between two runs: then it
        is told all the same."""

        def refuse(*_: object) -> None:
            raise ValueError("the two runs were scored on different ground truth")

        monkeypatch.setattr("dmaskrcnn.evaluation.scores.paired_difference", refuse)
        message = fails("evaluate", run, run, "--data", clear, "--bootstrap", 10, "--out", tmp_path)
        assert "different ground truth" in message


def damaged_run(run: Path, folder: Path, case: str) -> Path:
    shutil.copytree(run, folder)
    description = json.loads((folder / "model.json").read_text())
    match case:
        case "other architecture":
            description["detector"]["fpn_channels"] = 24
        case "other backbone":
            description["detector"]["backbone"] = "resnet50"
        case "unknown field":
            description["detector"]["colour"] = 1
        case "no classes":
            del description["classes"]
        case "pickle":
            (folder / "model.safetensors").write_bytes(pickle.dumps(Path))
        case "cut":
            path = folder / "model.safetensors"
            path.write_bytes(path.read_bytes()[:5000])
        case "no weights":
            (folder / "model.safetensors").unlink()
    (folder / "model.json").write_text("hello" if case == "text" else json.dumps(description))
    return folder


RUNS = {
    "other architecture": "model.safetensors: does not fit the architecture",
    "other backbone": "model.safetensors: does not fit the architecture",
    "unknown field": "model.json: not a detector's description (detector config: unknown field "
    "'colour'",
    "no classes": "model.json: not a detector's description ('classes' is missing)",
    "text": "model.json: not a detector's description",
    "pickle": "model.safetensors: not a readable weights file",
    "cut": "model.safetensors: not a readable weights file",
    "no weights": "model.safetensors: no such weights file",
}


class TestPredict:
    @pytest.mark.parametrize("case", RUNS)
    def test_damaged_run(
        self, case: str, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]
    ):
        folder = damaged_run(run, tmp_path / "run", case)
        assert RUNS[case] in fails("predict", folder, clear, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_unreadable_pictures_are_named_and_counted(
        self, run: Path, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        pictures = Path(shutil.copytree(clear / "images", tmp_path / "pictures"))
        truncate(broken := sorted(pictures.iterdir())[2])
        main(
            ["predict", str(run), str(pictures), "--out", str(tmp_path / "out"), "--threshold", "0"]
        )
        said = capsys.readouterr()
        assert f"skipped {broken}: cannot read the picture" in said.err
        assert " objects in 5 images, 1 unreadable skipped, " in said.out
        assert said.out.endswith(f": {tmp_path / 'out'}\n")

    def test_bad_input(self, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]):
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("in the way")
        out = tmp_path / "out"

        def predict(*arguments: object) -> str:
            return fails("predict", *arguments)

        assert "gone: no such run folder" in predict(tmp_path / "gone", clear, "--out", out)
        assert "model.safetensors: no such run folder" in predict(
            run / "model.safetensors", clear, "--out", out
        )
        assert "no images given" in predict(run, "--out", out)
        assert "gone.jpg: no such file or folder" in predict(
            run, tmp_path / "gone.jpg", "--out", out
        )
        assert "empty: no images in this folder" in predict(run, tmp_path / "empty", "--out", out)
        assert "--threshold 2.0 is no score" in predict(run, clear, "--out", out, "--threshold", 2)
        assert "file is no folder" in predict(run, clear, "--out", tmp_path / "file")
        assert "--device gpu: not available here" in predict(
            run, clear, "--out", out, "--device", "gpu"
        )
        assert not out.exists()

    def test_full_disk_keeps_earlier_pictures(
        self, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]
    ):
        arguments = [
            "predict",
            str(run),
            str(clear),
            "--out",
            str(tmp_path / "out"),
            "--threshold",
            "0",
        ]
        main(arguments)
        before = contents(tmp_path / "out")
        with full_disk(500):
            message = fails(*arguments)
        assert ".jpg: cannot be written" in message
        after = contents(tmp_path / "out")
        index = json.loads((tmp_path / "out" / "detections.json").read_text())
        assert index["complete"] is False
        assert after | {"detections.json": ""} == before | {"detections.json": ""}

    def test_sigterm_leaves_what_was_done(self, run: Path, tmp_path: Path):
        for i in range(6):
            write_image(tmp_path / "pictures" / f"{i}.png", 64, 96, seed=i)
        words = ("predict", run, tmp_path / "pictures", "--out", tmp_path / "out")
        where = ("dmaskrcnn.detector.detector", "Detector", "predict")
        done = signalled(where, 3, signal.SIGTERM, *words, "--batch-size", 2)
        assert done.returncode == 143, done.stderr
        assert done.stderr.endswith("dmaskrcnn: interrupted\n")
        found = json.loads((tmp_path / "out" / "detections.json").read_text())
        assert (found["complete"], len(found["images"])) == (False, 4)


class TestInspect:
    def test_output(self, clear: Path, hazy: Path, capsys: pytest.CaptureFixture[str]):
        main(["inspect", str(clear), str(hazy)])
        text = capsys.readouterr().out
        assert text.startswith(f"{clear}")
        assert "COCO JSON, 6 images, labelled" in text
        assert "\n\n" + str(hazy) in text

    def test_bad_input(self, tmp_path: Path, fails: Callable[..., str]):
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.json").write_text("hello")
        assert "gone: no such file or folder" in fails("inspect", tmp_path / "gone")
        assert "empty: no picture in it" in fails("inspect", tmp_path / "empty")
        assert "text.json: not valid JSON" in fails("inspect", tmp_path / "text.json")
