import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dmaskrcnn import Detector
from dmaskrcnn.demo import demo as module
from dmaskrcnn.demo.demo import Size, demo
from dmaskrcnn.errors import UserError
from dmaskrcnn.report import write_report

SIZE = Size(clear=4, hazy=3, test=3, start=1, adapt=2)


def run(out: Path) -> Path:
    return demo(out, seed=3, size=SIZE, report=lambda file, scores: write_report(file, (), scores))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo."""
    return run(tmp_path_factory.mktemp("whole"))


def test_the_whole_main_job_in_small(whole: Path, capsys: pytest.CaptureFixture[str]):
    assert whole.name == "demo-1"
    table = (whole / "results.md").read_text()
    for row in (
        "baseline",
        "DMask R-CNN",
        "mean teacher",
        "mean teacher − baseline",
        "clear, boxes",
        "hazy, masks",
        "box AP50 ",
        "in clear air ",
    ):
        assert row in table
    for picture in ("pictures.jpg", "curves.png"):
        with Image.open(whole / picture) as opened:
            assert opened.width > 900
    assert "The same streets in clear air, box AP50: baseline" in (whole / "report.html").read_text(
        encoding="utf-8"
    )
    assert Detector.load(whole / "adapt-1").classes == ("person", "car", "bus", "motorcycle")
    # unlabelled means unlabelled
    assert not (whole / "scenes" / "hazy" / "annotations.json").exists()


def test_it_tidies_up(whole: Path):
    assert list(whole.rglob("last.pt")) == []
    weights = {file.parent.name for file in whole.rglob("model.safetensors")}
    assert weights == {"baseline-1", "adapt-1"}
    assert (whole / "dmask-1" / "config.yaml").is_file()


def test_a_finished_one_is_shown_and_not_done_again(
    whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_work", None)
    assert run(whole.parent) == whole
    said = capsys.readouterr()
    assert "done already" in said.err
    lines = said.out.strip().splitlines()
    assert lines[-1] == str(whole)
    assert f"report: {whole / 'report.html'}" in lines
    assert max(len(line) for line in lines if str(whole) not in line) <= 80
    assert "AP50" in said.out


def test_it_goes_on_where_it_stopped(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """As a kill in the last training leaves it: one set half rendered, one run without an end."""
    folder = Path(shutil.copytree(whole, tmp_path / "demo-1"))
    index = json.loads((folder / "demo.json").read_text())
    (folder / "demo.json").write_text(json.dumps(index | {"complete": False}))
    (folder / "scenes" / "test-clear" / "annotations.json").unlink()
    shutil.rmtree(folder / "scenes" / "hazy")
    shutil.rmtree(folder / "adapt-1")
    (folder / "adapt-1").mkdir()  # before its first checkpoint
    begun = []
    train = module.train
    monkeypatch.setattr(module, "train", lambda config: begun.append(config.name) or train(config))
    shutil.copy(whole / "baseline-1" / "model.safetensors", folder / "start-1")
    shutil.copy(whole / "baseline-1" / "model.safetensors", folder / "dmask-1")
    assert run(tmp_path) == folder
    assert begun == ["adapt"]
    assert "going on where it stopped" in capsys.readouterr().err
    assert json.loads((folder / "demo.json").read_text())["complete"] is True
    assert (folder / "scenes" / "test-clear" / "annotations.json").is_file()


@pytest.mark.parametrize(
    ("options", "said"), [({"out": "file/runs"}, "--out"), ({"out": "runs", "seed": -1}, "--seed")]
)
def test_bad_input_leaves_nothing(tmp_path: Path, options: dict, said: str):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=said):
        demo(**options | {"out": tmp_path / options["out"]})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
