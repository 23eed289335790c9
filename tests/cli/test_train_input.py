"""`dmaskrcnn train` as a person meets it: above all with wrong input, which gives one line, exit
code 2 and no harm."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from data_files import coco_object, truncate, voc_object, voc_xml, write_coco, write_voc
from disk import contents, full_disk

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.state import TrainingState


def bad_source(tmp_path: Path, case: str, hazy: Path) -> object:
    folder = tmp_path / "bad"
    entities = '<!DOCTYPE annotation [<!ENTITY a "bbbbbbbbbb"><!ENTITY c "&a;&a;&a;&a;">]>'
    match case:
        case "missing":
            return folder
        case "empty":
            folder.mkdir()
            return folder
        case "no labels":
            return hazy
        case "not COCO":
            path = write_coco(folder, [])
            path.write_text("[1, 2]")
            return path
        case "no image":
            return write_coco(folder, [coco_object(1, image=9)])
        case "no category":
            return write_coco(folder, [coco_object(1, category=9)])
        case "zero area":
            return write_coco(folder, [coco_object(1, bbox=(2, 3, 0, 4))])
        case "inverted":
            return write_coco(folder, [coco_object(1, bbox=(9, 3, -4, 4))])
        case "outside":
            return write_coco(folder, [coco_object(1, bbox=(90, 3, 4, 4))])
        case "nan":
            return write_coco(folder, [coco_object(1, bbox=(float("nan"), 3, 4, 4))])
        case "mask size":
            return write_coco(
                folder, [coco_object(1, segmentation={"size": [9, 9], "counts": [81]})]
            )
        case "missing picture":
            path = write_coco(folder, [coco_object(1)])
            (folder / "images" / "002.png").unlink()
            return path
        case "entities":
            path = write_voc(folder, {"a": voc_object("car"), "b": ""})
            (path / "Annotations" / "b.xml").write_text(entities + voc_xml(voc_object("&c;")))
            return path
    raise AssertionError(case)


SOURCES = {
    "missing": "no such file or folder",
    "empty": "no picture in it",
    "no labels": "holds images but no labels",
    "not COCO": "JSON, but not COCO",
    "no image": "no image has the id 9",
    "no category": "no category has the id 9",
    "zero area": "has no area",
    "inverted": "is inverted",
    "outside": "lies outside",
    "nan": "is not finite",
    "mask size": "the mask is of size [9, 9]",
    "missing picture": "'002.png' is neither beside the JSON",
    "entities": "XML with entities is refused",
}


@pytest.mark.parametrize("case", SOURCES)
def test_train_on_bad_source(
    case: str, config_file: Path, hazy: Path, tmp_path: Path, fails: Callable[..., str]
):
    path = bad_source(tmp_path, case, hazy)
    message = fails("train", "--config", config_file, "--source", path)
    assert SOURCES[case] in message
    assert str(path) in message
    assert not (tmp_path / "runs").exists()


def test_train_on_bad_target_classes_device_and_out(
    config_file: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]
):
    def train(*arguments: object) -> str:
        return fails("train", "--config", config_file, *arguments)

    (tmp_path / "file").write_text("in the way")
    assert f"{tmp_path / 'gone'}: no such file or folder" in train("--target", tmp_path / "gone")
    assert "no boat in the data; there is: person, " in train("--classes", "boat")
    if not torch.cuda.is_available():
        assert "--device cuda: not available here" in train("--device", "cuda")
    assert "--device gpu: not available here" in train("--device", "gpu")
    for out in (tmp_path / "file", tmp_path / "file" / "runs"):
        assert f"--out {out}: " in train("--out", out)
    assert "--name 'a/b' must be a plain name" in train("--name", "a/b")
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "file").read_text() == "in the way"
    assert clear.exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_picture_truncated_after_the_start(
    config_file: Path, clear: Path, tmp_path: Path, fails: Callable[..., str], workers: int
):
    broken = Path(shutil.copytree(clear, tmp_path / "broken"))
    for picture in (broken / "images").iterdir():
        truncate(picture)
    arguments = ("--source", broken, "--workers", workers, "--method", "source")
    # the plan, of two phases, and the line that announces the run
    message = fails("train", "--config", config_file, *arguments, said_before=4)
    assert ".png: cannot read the picture" in message
    assert str(broken) in message


def test_loading_process_that_dies(
    config_file: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """As the kernel kills one when memory runs out."""
    if multiprocessing.get_start_method() != "fork":
        pytest.skip("only a forked process inherits what the test changed")
    monkeypatch.setattr(
        "dmaskrcnn.data.loader.Batches.__getitem__", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    )
    arguments = ("--method", "source", "--workers", 1)
    message = fails("train", "--config", config_file, *arguments, said_before=4)
    assert "a process that loads images died" in message
    assert "--workers" in message


class TestWeights:
    @pytest.fixture
    def train(
        self, config_file: Path, tmp_path: Path, fails: Callable[..., str]
    ) -> Callable[..., str]:
        def run(*arguments: object) -> str:
            message = fails("train", "--config", config_file, *arguments)
            assert not (tmp_path / "runs").exists()
            return message

        return run

    def test_bad_files(self, train: Callable[..., str], tmp_path: Path):
        (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Path))
        torch.save({"a": Path("x")}, tmp_path / "objects.pth")
        (tmp_path / "text.safetensors").write_text("hello")
        torch.save({"model": {"detector.backbone.a": torch.zeros(1)}}, tmp_path / "last.pt")
        assert f"{tmp_path / 'gone.pth'}: no such weights file" in train(
            "--weights", tmp_path / "gone.pth"
        )
        for name, message in (
            ("pickle.pth", "is not unpickled"),
            ("objects.pth", "is not unpickled"),
            ("text.safetensors", "not a readable weights file"),
            ("last.pt", "is a checkpoint to resume from; give its run folder"),
        ):
            answer = train("--weights", tmp_path / name)
            assert str(tmp_path / name) in answer
            assert message in answer

    def test_of_another_architecture(self, train: Callable[..., str], run: Path):
        assert "does not fit the architecture" in train("--weights", run, "--fpn-channels", 24)
        assert "does not fit the architecture" in train(
            "--weights", run / "model.safetensors", "--backbone", "mobilenet_v2"
        )
        assert "it has for --preset default, v2 and mobile" in train("--weights", "coco")

    def test_folder_that_is_no_run(self, train: Callable[..., str], tmp_path: Path):
        assert "model.json: not found; give the folder of a training run" in train(
            "--weights", tmp_path
        )


class TestFullDiskWhileTraining:
    """The first checkpoint is whole, the second meets a full disk."""

    @pytest.mark.parametrize("file", ["model.safetensors", "last.pt"])
    def test_first_checkpoint_stays(
        self,
        file: str,
        config_file: Path,
        tmp_path: Path,
        fails: Callable[..., str],
        monkeypatch: pytest.MonkeyPatch,
    ):
        folder, save, before = tmp_path / "runs" / "source-1", TrainingState.save, {}

        def save_on_full_disk(self: TrainingState, *others: bool) -> None:
            if self.iteration == 1:
                return save(self, *others)
            before.update(contents(folder))
            sizes = sorted(
                (folder / name).stat().st_size for name in ("model.safetensors", "last.pt")
            )
            with full_disk(sizes[0] // 2 if file == "model.safetensors" else sizes[0] + 10_000):
                return save(self, *others)

        monkeypatch.setattr(TrainingState, "save", save_on_full_disk)
        arguments = ("--method", "source", "--checkpoint-minutes", "1e-9", "--precision", "float32")
        # the plan, the announcement and two of progress
        message = fails("train", "--config", config_file, *arguments, said_before=6)
        assert f"{folder / file}: cannot be written" in message
        after = contents(folder)
        assert after.keys() == before.keys()
        assert after[file] == before[file]
        assert Checkpoint.load(folder).iteration == 1
        assert Detector.load(folder).classes


class TestResume:
    def test_bad_runs(self, tmp_path: Path, fails: Callable[..., str]):
        assert "gone: no such run folder" in fails("train", "--resume", tmp_path / "gone")
        assert "holds no last.pt" in fails("train", "--resume", tmp_path)
        (tmp_path / "last.pt").write_bytes(pickle.dumps(Path))
        assert "last.pt: damaged or not a checkpoint" in fails("train", f"--resume={tmp_path}")

    def test_checkpoint_of_another_architecture(
        self, config_file: Path, tmp_path: Path, fails: Callable[..., str]
    ):
        main(["train", "--config", str(config_file), "--method", "source", "--iterations", "1"])
        folder = tmp_path / "runs" / "source-1"
        state = Checkpoint.load(folder)
        state.config["fpn_channels"] = 24
        state.save(folder)
        before = contents(folder)
        assert "last.pt: does not fit the detector and method of its configuration" in fails(
            "train", "--resume", folder
        )
        assert contents(folder) == before

    def test_does_not_need_the_first_weights(self, config_file: Path, tmp_path: Path):
        main(
            [
                "train",
                "--config",
                str(config_file),
                "--method",
                "source",
                "--iterations",
                "1",
                "--name",
                "first",
            ]
        )
        first, second = tmp_path / "runs" / "first-1", tmp_path / "runs" / "second-1"
        main(
            [
                "train",
                "--config",
                str(config_file),
                "--method",
                "source",
                "--weights",
                str(first),
                "--name",
                "second",
            ]
        )
        shutil.rmtree(first)
        main(["train", "--resume", str(second)])
        assert Checkpoint.load(second).iteration == 2
