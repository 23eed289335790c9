"""`dmaskrcnn haze` and the files of others, and its own after a run that ended before its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_files import write_image
from disk import contents, full_disk
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.data import open_dataset
from dmaskrcnn.errors import UserError
from dmaskrcnn.images import haze as folder
from dmaskrcnn.images import jobs as image_jobs
from dmaskrcnn.images.haze import HazeConditions, haze_images


def test_only_files_of_earlier_runs_are_overwritten(clear: Path, tmp_path: Path):
    out = tmp_path / "out"
    haze_images([clear], out, HazeConditions((30,)), progress=False)
    haze_images([clear], out, HazeConditions((30, 60), seed=1), progress=False)
    haze_images([clear], out, HazeConditions((60,)), progress=False)
    assert {p.name for p in out.iterdir()} == {
        *(f"{kind}-{v}" for kind in ("visibility", "transmission") for v in (30, 60)),
        "haze.json",
    }
    mine = out / "transmission-90" / "000002.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    before = contents(out)
    with pytest.raises(
        UserError,
        match=r"transmission-90.000002\.png: exists and was not written by dmaskrcnn haze",
    ):
        haze_images([clear], out, HazeConditions((30, 90)), progress=False)
    with pytest.raises(UserError, match="is an input and would be overwritten"):
        haze_images([out / "visibility-30"], out, HazeConditions((30,)), progress=False)
    assert contents(out) == before


def test_what_an_earlier_run_left_at_this_visibility_joins_no_new_data_set(
    clear: Path, tmp_path: Path
):
    out = tmp_path / "out"
    haze_images([clear], out, HazeConditions((30, 60)), progress=False)
    (out / "visibility-30" / "images" / "mine.txt").write_text("mine")
    (tmp_path / "others.txt").write_text("another's")
    listed = json.loads((out / "haze.json").read_text())
    # a list that was tampered with
    listed["files"] += ["visibility-30/../../others.txt", str(tmp_path / "others.txt"), "."]
    (out / "haze.json").write_text(json.dumps(listed))
    haze_images([clear / "images" / "000004.png"], out, HazeConditions((30,)), progress=False)
    assert {name for name in contents(out) if "-30/" in name} == {
        "transmission-30/000004.png",
        "visibility-30/images/000004.png",
        "visibility-30/images/mine.txt",
    }
    assert len(open_dataset(out / "visibility-60")) == 6
    # the labels were those of other pictures
    assert not open_dataset(out / "visibility-30").labelled
    assert (tmp_path / "others.txt").exists()


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path: Path):
    write_image(tmp_path / "x.png")
    for _ in range(2):
        assert (
            haze_images([tmp_path], tmp_path / "out", HazeConditions((30,)), progress=False).images
            == 1
        )
    (tmp_path / "x.png").unlink()
    with pytest.raises(UserError, match="no picture in it but those of an earlier run"):
        haze_images([tmp_path], tmp_path / "out", HazeConditions((30,)), progress=False)


def test_clear_pictures_below_the_output_folder_are_no_output(tmp_path: Path, monkeypatch):
    write_image(tmp_path / "data" / "clear" / "a.png")
    write_image(tmp_path / "other" / "b.png")
    monkeypatch.chdir(tmp_path)
    both, conditions = ["data/clear", "other"], HazeConditions((30,))
    for inputs, images in ((both, 2), (both, 2), (["data/clear"], 1)):
        assert haze_images(inputs, "data", conditions, progress=False).images == images
    with pytest.raises(UserError, match="no picture in it but those of an earlier run"):
        haze_images(["data/visibility-30/images/a.png"], "data", conditions, progress=False)
    monkeypatch.chdir(tmp_path / "data" / "clear")
    for _ in range(2):
        assert haze_images(["a.png"], ".", conditions, progress=False).images == 1
    assert Path("visibility-30/images/a.png").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_a_data_set_of_what_is_done(
    clear: Path, tmp_path: Path, stop, monkeypatch
):
    out, original, calls = tmp_path / "out", folder.transmission, []

    def fails(*arguments):
        # before the first picture: they are ours even after kill -9
        assert (out / "haze.json").exists()
        if len(calls) >= 2 and stop is RuntimeError:
            raise stop
        return original(*arguments)

    def interrupted(_: object) -> None:  # in the main thread, where Ctrl-C arrives
        calls.append(1)
        if len(calls) == 2 and stop is KeyboardInterrupt:
            raise stop

    with monkeypatch.context() as patch:
        patch.setattr(folder, "transmission", fails)
        patch.setattr(image_jobs.Progress, "step", interrupted)
        with pytest.raises(stop):
            haze_images([clear], out, HazeConditions((30, 60)), progress=False)
    content = json.loads((out / "haze.json").read_text())
    done = [entry["picture"] for entry in content["pictures"]]
    assert content["complete"] is False
    assert 2 <= len(done) <= 5
    assert [p.name for p in open_dataset(out / "visibility-60").paths] == done
    assert haze_images([clear], out, HazeConditions((30, 60)), progress=False).images == 6
    assert json.loads((out / "haze.json").read_text())["complete"] is True
    assert not [name for name in contents(out) if Path(name).name.startswith(".")]


def test_a_full_disk_is_named_and_leaves_no_half_file(clear: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    with full_disk(room=4000), pytest.raises(SystemExit) as caught:
        main(f"haze {clear} --visibility 30 --out {out}".split())
    assert caught.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("haze:")]
    assert len(error) == 1
    assert "cannot be written" in error[0]
    for path in (p for p in out.rglob("*") if p.is_file()):
        if path.suffix == ".png":
            Image.open(path).load()
    assert not [name for name in contents(out) if Path(name).name.startswith(".")]
    main(f"haze {clear} --visibility 30 --out {out}".split())
    assert len(open_dataset(out / "visibility-30")) == 6
