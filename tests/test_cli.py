"""The command line as a person meets it: above all with wrong input, which gives one line, exit code 2 and no harm."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import yaml
from data_files import coco_object, voc_object, voc_xml, write_coco, write_image, write_voc
from disk import contents, full_disk

from dmaskrcnn import Detector, __version__, training
from dmaskrcnn.cli import main
from dmaskrcnn.config import TrainConfig
from dmaskrcnn.presets import DetectorConfig
from dmaskrcnn.run_folder import load_checkpoint

Make = Callable[..., TrainConfig]
CONFIG = DetectorConfig(
    backbone="resnet18", fpn_channels=16, box_head_width=16, mask_head_layers=1, image_size=64, max_size=96, max_detections=8
)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as it should, and return its message."""

    def run(*arguments: object, said_before: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        lines = capsys.readouterr().err.splitlines()
        assert stop.value.code == 2, lines
        assert len(lines) == 1 + said_before, lines
        assert lines[-1].startswith("dmaskrcnn: ")
        return lines[-1].removeprefix("dmaskrcnn: ")

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained detector, which finds something everywhere."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    Detector(("car", "person"), CONFIG).save(folder)
    return folder


@pytest.fixture
def config_file(tiny: Make, tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tiny(iterations=2).to_dict()))
    return path


def truncate(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:300])


# --- without PyTorch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["train", "--optimizer", "sgdd"]])
def test_answers_without_pytorch(arguments: list[str]):
    code = f"""
import sys
from dmaskrcnn.cli import main
try:
    main({arguments})
except SystemExit:
    pass
sys.exit(sum(name in sys.modules for name in ("torch", "numpy", "PIL", "matplotlib")))
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10  # half a second on a machine that has nothing else to do


def test_python_m_and_version():
    done = subprocess.run([sys.executable, "-m", "dmaskrcnn", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dmaskrcnn {__version__}\n", "")


def test_drawn_boxes_are_folded_too():
    command = [sys.executable, "-m", "dmaskrcnn", "trian"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    verbs = "demo, adapt, train, evaluate, compare, reproduce, report, predict, inspect"
    assert done.returncode == 2
    assert done.stderr.startswith(f"dmaskrcnn: Unrecognized options: trian (Available subcommands: {verbs}")
    assert done.stderr.endswith("; see dmaskrcnn --help\n")
    assert done.stderr.count("\n") == 1


def test_help_says_where_defaults_come_from(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "None" not in text
    assert "(default: )" not in text
    assert "(default: the preset's)" in " ".join(text.replace("│", "").split())
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert [verb for verb in ("demo", "train", "evaluate", "predict", "inspect") if f"• {verb}" not in text] == []


USAGE: dict[str, tuple[list[str], str]] = {
    "verb": (["trian"], "Unrecognized options: trian (Available subcommands: demo, adapt, train"),
    "option": (["train", "--itertions", "5"], "--iterations INT"),
    "choice": (["train", "--optimizer", "sgdd"], "invalid choice 'sgdd' for argument '--optimizer'"),
    "number": (["train", "--batch", "many"], "Error parsing --batch: "),
    "no value": (["train", "--device"], "Missing value for argument '--device'"),
    "required": (["evaluate", "run"], "Missing from dmaskrcnn evaluate: --data"),
    "no run": (["evaluate", "--data", "x"], "evaluate: give at least one run folder"),
    "no path": (["inspect"], "inspect: give at least one path"),
    "resume with more": (["train", "--resume", "x", "--minutes", "3"], "Unrecognized options: --minutes"),
    "config without file": (["train", "--config"], "--config needs a file"),
    "no target": (["train", "--source", "x"], "--method grl needs --target"),
    "both lengths": (["train", "--target", "x", "--minutes", "1", "--iterations", "2"], "--minutes and --iterations"),
    "accumulate": (["train", "--target", "x", "--batch", "4", "--accumulate", "3"], "multiple of --accumulate 3"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors(case: str, fails: Callable[..., str]):
    arguments, message = USAGE[case]
    assert message in fails(*arguments)


# --- train ----------------------------------------------------------------------------------------------------------------


class TestConfigFile:
    def test_of_a_run_is_accepted_as_it_is(
        self, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        main(["train", "--config", str(config_file)])
        first = Path(capsys.readouterr().out.splitlines()[-1])
        assert first == tmp_path / "runs" / "grl-1"
        got: list[TrainConfig] = []
        monkeypatch.setattr(training, "train", lambda config: got.append(config) or tmp_path)
        main(["train", f"--config={first / 'config.yaml'}"])
        assert got[0].to_dict() == yaml.safe_load((first / "config.yaml").read_text())

    def test_flags_win(self, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        got: list[TrainConfig] = []
        monkeypatch.setattr(training, "train", lambda config: got.append(config) or tmp_path)
        values = {
            **yaml.safe_load(config_file.read_text()),
            "classes": ["traffic light", "car"],
            "grl_ramp": True,
            "lr": "1e-3",
        }
        config_file.write_text(yaml.safe_dump(values))
        for arguments in (
            [],
            ["--no-grl-ramp", "--minutes", "3"],
            ["--classes", "bus"],
            ["--method", "source"],
            ["--batch", "6"],
        ):
            main(["train", "--config", str(config_file), *arguments])
        plain, timed, buses, source, large = got
        assert (plain.classes, plain.grl_ramp, plain.lr, plain.iterations) == (("traffic light", "car"), True, 1e-3, 2)
        assert (timed.grl_ramp, timed.minutes, timed.iterations) == (False, 3.0, None)
        assert buses.classes == ("bus",)
        assert (source.method, source.target_batch) == ("source", 0)
        assert (large.batch, large.target_batch) == (6, 6)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: [1", "not a readable YAML file"),
            ("- a", "holds no fields"),
            ("itertions: 3", "unknown field 'itertions'; did you mean iterations?"),
            ("batch: {a: 1}", "batch: holds fields of its own"),
            ("batch: many", "Error parsing --batch"),
            ("optimizer: sgdd", "invalid choice 'sgdd'"),
        ],
    )
    def test_broken(self, tmp_path: Path, fails: Callable[..., str], text: str, message: str):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        assert message in fails("train", "--config", path)
        assert "gone.yaml" in fails("train", "--config", tmp_path / "gone.yaml")


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
            return write_coco(folder, [coco_object(1, segmentation={"size": [9, 9], "counts": [81]})])
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
    "missing picture": "002.png is neither beside the JSON",
    "entities": "XML with entities is refused",
}


@pytest.mark.parametrize("case", SOURCES)
def test_train_on_bad_source(case: str, config_file: Path, hazy: Path, tmp_path: Path, fails: Callable[..., str]):
    path = bad_source(tmp_path, case, hazy)
    message = fails("train", "--config", config_file, "--source", path)
    assert SOURCES[case] in message
    assert str(path) in message
    assert not (tmp_path / "runs").exists()


def test_train_on_bad_target_classes_device_and_out(config_file: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]):
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
    message = fails("train", "--config", config_file, *arguments, said_before=1)  # the line that announces the run
    assert ".png: cannot read the picture" in message
    assert str(broken) in message


def test_loading_process_that_dies(config_file: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    """As the kernel kills one when memory runs out."""
    if multiprocessing.get_start_method() != "fork":
        pytest.skip("only a forked process inherits what the test changed")
    monkeypatch.setattr("dmaskrcnn.data.loader.Batches.__getitem__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    arguments = ("--method", "source", "--workers", 1)
    message = fails("train", "--config", config_file, *arguments, said_before=1)
    assert "a process that loads images died" in message
    assert "--workers" in message


class TestWeights:
    @pytest.fixture
    def train(self, config_file: Path, tmp_path: Path, fails: Callable[..., str]) -> Callable[..., str]:
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
        assert f"{tmp_path / 'gone.pth'}: no such weights file" in train("--weights", tmp_path / "gone.pth")
        for name, message in (
            ("pickle.pth", "is not unpickled"),
            ("objects.pth", "is not unpickled"),
            ("text.safetensors", "not a readable weights file"),
            ("last.pt", "is a checkpoint for --resume; give its run folder"),
        ):
            answer = train("--weights", tmp_path / name)
            assert str(tmp_path / name) in answer
            assert message in answer

    def test_of_another_architecture(self, train: Callable[..., str], run: Path):
        assert "does not fit the architecture" in train("--weights", run, "--fpn-channels", 24)
        assert "does not fit the architecture" in train("--weights", run / "model.safetensors", "--backbone", "mobilenet_v2")
        assert "torchvision has them for --backbone resnet50" in train("--weights", "coco")

    def test_folder_that_is_no_run(self, train: Callable[..., str], tmp_path: Path):
        assert "model.json: not found; give the folder of a training run" in train("--weights", tmp_path)


class TestFullDiskWhileTraining:
    """The first checkpoint is whole, the second meets a full disk."""

    @pytest.mark.parametrize("file", ["model.safetensors", "last.pt"])
    def test_first_checkpoint_stays(
        self, file: str, config_file: Path, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ):
        folder, save, before = tmp_path / "runs" / "source-1", training.Trainer.save, {}

        def save_on_full_disk(self: training.Trainer, finished: bool = False) -> None:
            if self.iteration == 1:
                return save(self, finished)
            before.update(contents(folder))
            sizes = sorted((folder / name).stat().st_size for name in ("model.safetensors", "last.pt"))
            with full_disk(sizes[0] // 2 if file == "model.safetensors" else sizes[0] + 10_000):
                return save(self, finished)

        monkeypatch.setattr(training.Trainer, "save", save_on_full_disk)
        arguments = ("--method", "source", "--checkpoint-minutes", "1e-9", "--precision", "float32")
        message = fails("train", "--config", config_file, *arguments, said_before=3)  # the announcement and two of progress
        assert f"{folder / file}: cannot be written" in message
        after = contents(folder)
        assert after.keys() == before.keys()
        assert after[file] == before[file]
        assert load_checkpoint(folder)["iteration"] == 1
        assert Detector.load(folder).classes


class TestResume:
    def test_bad_runs(self, tmp_path: Path, fails: Callable[..., str]):
        assert "gone: no such run folder" in fails("train", "--resume", tmp_path / "gone")
        assert "holds no last.pt" in fails("train", "--resume", tmp_path)
        (tmp_path / "last.pt").write_bytes(pickle.dumps(Path))
        assert "last.pt: damaged or not a checkpoint" in fails("train", f"--resume={tmp_path}")

    def test_checkpoint_of_another_architecture(self, config_file: Path, tmp_path: Path, fails: Callable[..., str]):
        main(["train", "--config", str(config_file), "--method", "source", "--iterations", "1"])
        folder = tmp_path / "runs" / "source-1"
        state = load_checkpoint(folder)
        state["config"]["fpn_channels"] = 24
        torch.save(state, folder / "last.pt")
        before = contents(folder)
        assert "last.pt: does not fit the detector and method of its configuration" in fails("train", "--resume", folder)
        assert contents(folder) == before

    def test_does_not_need_the_first_weights(self, config_file: Path, tmp_path: Path):
        main(["train", "--config", str(config_file), "--method", "source", "--iterations", "1", "--name", "first"])
        first, second = tmp_path / "runs" / "first-1", tmp_path / "runs" / "second-1"
        main(["train", "--config", str(config_file), "--method", "source", "--weights", str(first), "--name", "second"])
        shutil.rmtree(first)
        main(["train", "--resume", str(second)])
        assert load_checkpoint(second)["iteration"] == 2


# --- evaluate, predict, inspect -------------------------------------------------------------------------------------------


class TestEvaluate:
    def test_output(self, run: Path, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        out = tmp_path / "out"
        main(["evaluate", str(run), "--data", str(clear), "--bootstrap", "10", "--out", str(out)])
        text = capsys.readouterr().out
        assert text.startswith(f"{run}\n6 images, mean over 2 classes")
        assert text.endswith(f"\npredictions and scores: {out}\n\n")
        before = contents(out)
        arguments = [str(run), str(out / "predictions.json"), "--data", str(clear), "--bootstrap", "10"]
        main(["evaluate", *arguments, "--out", str(tmp_path / "both")])
        text = capsys.readouterr().out
        assert f"{out / 'predictions.json'} against {run}\ndifference in points" in text
        assert {p.name for p in (tmp_path / "both").iterdir()} == {run.name, "predictions"}
        assert contents(out) == before

    def test_bad_input(self, run: Path, clear: Path, hazy: Path, tmp_path: Path, fails: Callable[..., str]):
        boats = tmp_path / "boats"
        Detector(("boat",), CONFIG).save(boats)
        other = tmp_path / "other.json"
        other.write_text(json.dumps([{"image_id": 777, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}]))
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
        assert "file/out: cannot be written" in evaluate(run, "--data", clear, "--out", tmp_path / "file" / "out")
        assert "--batch-size must be at least 1" in evaluate(run, "--data", clear, "--batch-size", 0)
        assert contents(run) == before

    def test_truncated_picture(self, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]):
        broken = Path(shutil.copytree(clear, tmp_path / "broken"))
        picture = sorted((broken / "images").iterdir())[3]
        truncate(picture)
        message = fails("evaluate", run, "--data", broken, "--out", tmp_path / "out")
        assert message.startswith(f"{picture}: cannot read the picture")
        assert contents(tmp_path / "out") == {}

    def test_difference_of_other_ground_truth(
        self, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ):
        """Cannot be reached from the command line unless the data change between two runs: then it is told all the same."""

        def refuse(*_: object) -> None:
            raise ValueError("the two runs were scored on different ground truth")

        monkeypatch.setattr("dmaskrcnn.scoring.paired_difference", refuse)
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
    "unknown field": "model.json: not a detector's description (detector config: unknown field 'colour'",
    "no classes": "model.json: not a detector's description ('classes' is missing)",
    "text": "model.json: not a detector's description",
    "pickle": "model.safetensors: not a readable weights file",
    "cut": "model.safetensors: not a readable weights file",
    "no weights": "model.safetensors: no such weights file",
}


class TestPredict:
    @pytest.mark.parametrize("case", RUNS)
    def test_damaged_run(self, case: str, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]):
        folder = damaged_run(run, tmp_path / "run", case)
        assert RUNS[case] in fails("predict", folder, clear, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_unreadable_pictures_are_named_and_counted(
        self, run: Path, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        pictures = Path(shutil.copytree(clear / "images", tmp_path / "pictures"))
        truncate(broken := sorted(pictures.iterdir())[2])
        main(["predict", str(run), str(pictures), "--out", str(tmp_path / "out"), "--threshold", "0"])
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
        assert "model.safetensors: no such run folder" in predict(run / "model.safetensors", clear, "--out", out)
        assert "no images given" in predict(run, "--out", out)
        assert "gone.jpg: no such file or folder" in predict(run, tmp_path / "gone.jpg", "--out", out)
        assert "empty: no images in this folder" in predict(run, tmp_path / "empty", "--out", out)
        assert "threshold: 2.0 is no score" in predict(run, clear, "--out", out, "--threshold", 2)
        assert "file: cannot be made" in predict(run, clear, "--out", tmp_path / "file")
        assert "--device gpu: not available here" in predict(run, clear, "--out", out, "--device", "gpu")
        assert not out.exists()

    def test_full_disk_keeps_earlier_pictures(self, run: Path, clear: Path, tmp_path: Path, fails: Callable[..., str]):
        arguments = ["predict", str(run), str(clear), "--out", str(tmp_path / "out"), "--threshold", "0"]
        main(arguments)
        before = contents(tmp_path / "out")
        with full_disk(500):
            message = fails(*arguments)
        assert ".jpg: cannot be written" in message
        assert contents(tmp_path / "out") == before

    def test_sigterm_leaves_what_was_done(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        for i in range(6):
            write_image(tmp_path / "pictures" / f"{i}.png", 64, 96, seed=i)
        predict, handler = Detector.predict, signal.getsignal(signal.SIGTERM)
        calls: list[int] = []

        def predict_and_terminate(self: Detector, images: list, threshold: float = 0.5):
            calls.append(len(images))
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
            return predict(self, images, threshold)

        monkeypatch.setattr(Detector, "predict", predict_and_terminate)
        with pytest.raises(SystemExit) as stop:
            main(["predict", str(run), str(tmp_path / "pictures"), "--out", str(tmp_path / "out"), "--batch-size", "2"])
        assert stop.value.code == 143
        assert capsys.readouterr().err.endswith("dmaskrcnn: interrupted\n")
        found = json.loads((tmp_path / "out" / "detections.json").read_text())
        assert (found["complete"], len(found["images"])) == (False, 4)
        assert signal.getsignal(signal.SIGTERM) == handler


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


# --- where output goes ----------------------------------------------------------------------------------------------------


def test_reader_that_has_gone(clear: Path, capfd: pytest.CaptureFixture[str]):
    """As in ``dmaskrcnn inspect … | head -1``."""
    for arguments in (["--version"], ["inspect", str(clear)], ["train", "--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as pipe, redirect_stdout(pipe), pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 141
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_on_a_full_disk(fails: Callable[..., str]):
    with open("/dev/full", "w") as full, redirect_stdout(full):
        assert fails("--version") == "output: No space left on device"


def test_keyboard_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clear: Path):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dmaskrcnn.data.inspection.inspect", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["inspect", str(clear)])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "dmaskrcnn: interrupted\n"
