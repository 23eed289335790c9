"""Broken pictures end no training, and data that changed are told when it is resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from run_files import assert_same_bits

from dmaskrcnn.cli.main import main
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_dataset
from dmaskrcnn.errors import UserError
from dmaskrcnn.training import loop
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.fingerprint import find_gone, fingerprint
from dmaskrcnn.training.loop import resume, train
from dmaskrcnn.training.progress import StopSignal

Make = Callable[..., TrainConfig]


@pytest.fixture
def own(clear: Path, hazy: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of source and target that a test may change."""
    return tuple(Path(shutil.copytree(a, tmp_path / a.name)) for a in (clear, hazy))


def pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".jpg"))


def cut(picture: Path) -> Path:
    """The header stays, the pixels go."""
    picture.write_bytes(picture.read_bytes()[:400])
    return picture


def interrupted(config: TrainConfig, monkeypatch: pytest.MonkeyPatch, after: int = 3) -> Path:
    """The folder of a training that was stopped after some iterations."""
    step = loop.step

    def step_and_stop(state, *others):
        if state.iteration == after - 1:
            stops[0].signal = 15
        return step(state, *others)

    stops: list[StopSignal] = []
    usual = StopSignal.__init__
    monkeypatch.setattr(StopSignal, "__init__", lambda self: (usual(self), stops.append(self))[0])
    monkeypatch.setattr(loop, "step", step_and_stop)
    with pytest.raises(SystemExit):
        train(config)
    monkeypatch.undo()
    return max(config.out.iterdir(), key=lambda run: int(run.name.rpartition("-")[2]))


def test_broken_headers_are_refused_before_or_left_out(
    tiny: Make, own: tuple[Path, Path], caplog: pytest.LogCaptureFixture
):
    clear, hazy = own
    first, second = pictures(hazy)[2], pictures(clear)[1]
    first.write_bytes(b"")
    config = {"source": (clear,), "target": (hazy,), "iterations": 1}
    with pytest.raises(UserError, match=rf"{first.name}: .* leave such out with --drop-invalid"):
        train(tiny(**config))
    assert not tiny().out.exists()
    second.write_bytes(b"no picture")
    run = train(tiny(**config, drop_invalid=True))
    state = Checkpoint.load(run)
    assert (state.data["source_images"], state.data["target_images"]) == (5, 5)
    assert f"{first.name}: cannot read the picture" in caplog.text


def test_picture_of_another_size_is_told_before(tiny: Make, own: tuple[Path, Path]):
    file = next(own[0].rglob("*.json"))
    content = json.loads(file.read_text())
    content["images"][3]["width"] += 40
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 1]
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"the picture is 96x64 but its annotations say 136x64"):
        train(tiny(source=(own[0],)))


def test_broken_test_picture_is_told_before(tiny: Make, own: tuple[Path, Path]):
    pictures(own[0])[0].write_bytes(b"")
    with pytest.raises(UserError, match=r"--test: .*cannot read the picture"):
        train(tiny(test=(own[0],)))


@pytest.mark.parametrize("removed", [False, True])
def test_another_stands_in_and_resume_gives_the_same_bits(
    tiny: Make,
    own: tuple[Path, Path],
    removed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Also after following the advice: remove it. Of the source the entry stays in the JSON."""
    clear, hazy = own
    broken = [cut(pictures(clear)[2]), cut(pictures(hazy)[4])]
    config = tiny(source=(clear,), target=(hazy,), iterations=7, adabn=0.5)
    whole = train(config)
    err = capsys.readouterr().err
    for picture in broken:
        assert err.count(f"stands in for a broken one: {picture}: cannot read the picture") == 1
    assert "2 pictures could not be decoded, and others stood in for them" in err
    run = interrupted(config, monkeypatch, after=5)
    assert sum(map(len, Checkpoint.load(run).data["broken"].values())) == 2
    for picture in broken if removed else ():
        picture.unlink()
    main(["train", "--resume", str(run)])
    assert_same_bits(whole, run)


def test_labels_of_a_picture_that_was_removed_are_left_out(
    tiny: Make,
    own: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """It was broken, and those who wrote the labels could still read it."""
    clear, hazy = own
    listed = pictures(hazy)
    box = {"bbox": [10, 10, 20, 15], "score": 0.9, "category_name": "car"}
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps([{"file_name": p.name, **box} for p in listed]))
    broken = cut(listed[4])
    values = {"method": "teacher", "burn_in": 0.0, "iterations": 4, "pseudo_labels": labels}
    config = tiny(source=(clear,), target=(hazy,), **values)
    whole = train(config)
    run = interrupted(config, monkeypatch)
    caplog.clear()
    broken.unlink()
    main(["train", "--resume", str(run)])
    assert_same_bits(whole, run)
    assert f"1 of {len(listed)} detections are left out" in caplog.text


def test_what_changed_is_told_at_resume(
    tiny: Make, own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    clear, hazy = own
    run = interrupted(tiny(source=(clear,), target=(hazy,)), monkeypatch, after=2)
    file = next(clear.rglob("*.json"))
    text = file.read_text()
    content = json.loads(text)
    content["annotations"][0]["bbox"][0] += 1
    file.write_text(json.dumps(content))
    changed = "the images or annotations changed since this run began"
    with pytest.raises(UserError, match=rf"{changed} \(the labels of .*\.png\)"):
        resume(run)
    file.write_text(text)
    picture = pictures(hazy)[1]
    before = picture.read_bytes()
    picture.write_bytes(pictures(hazy)[2].read_bytes())
    with pytest.raises(UserError, match=rf"{changed} \(the picture .*{picture.name}\)"):
        resume(run)
    picture.unlink()
    with pytest.raises(UserError, match=changed):
        resume(run)
    picture.write_bytes(before)
    resume(run)


def test_fingerprint_knows_content_not_names(own: tuple[Path, Path], tmp_path: Path):
    data = open_dataset(own[0])
    before = fingerprint(data, None)
    moved = open_dataset(own[0].rename(tmp_path / "elsewhere"))
    assert find_gone(before, fingerprint(moved, None), {"source": moved}) == {"source": []}
    fewer = moved.select(np.arange(6) != 3)
    with pytest.raises(ValueError, match="the picture"):
        find_gone(before, fingerprint(fewer, None), {"source": fewer})
    with pytest.raises(ValueError, match="there are 5 source images, not 6"):
        find_gone(
            before, fingerprint(last := moved.select(np.arange(6) < 5), None), {"source": last}
        )
    before["broken"]["source"][3] = "cannot be decoded"
    assert find_gone(before, fingerprint(fewer, None), {"source": fewer}) == {"source": [3]}
    assert find_gone(before, fingerprint(moved, None), {"source": moved}) == {"source": []}
    with pytest.raises(ValueError, match="earlier version"):
        find_gone({"names": ""}, fingerprint(moved, None), {"source": moved})
