"""`dmaskrcnn gauge` on files and folders, and the haze of predictions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from predict_cases import LeftHalf, content, photo
from untrained import UNTRAINED
from video_cases import write_clip

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main
from dmaskrcnn.detector.tiles import cut
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.haze.switch import HazeSwitch
from dmaskrcnn.images.by_detector import ClearOrHazy, in_tiles
from dmaskrcnn.images.predict import predict_images
from dmaskrcnn.serve.dropped import read_dropped


@pytest.fixture
def frames(tmp_path: Path, street) -> Path:
    """A clear frame, a hazy one and a broken one."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, picture in zip(("2-hazy.png", "1-clear.png"), street, strict=True):
        Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(folder / name)
    (folder / "3-broken.jpg").write_bytes(b"no picture")
    return folder


def test_table_json_and_csv(frames, tmp_path, street, capsys):
    main(["gauge", str(frames)])
    out, err = capsys.readouterr()
    clear, hazy, last = out.splitlines()
    assert clear.endswith("1-clear.png")
    assert hazy.endswith("2-hazy.png")
    assert float(clear.split()[0]) < 0.5 < float(hazy.split()[0])
    assert last.startswith("2 images, median haze 0.")
    assert err.startswith("skipped ")
    assert "3-broken.jpg: cannot read the picture" in err

    main(["gauge", str(frames), "--format", "json"])
    said = json.loads(capsys.readouterr().out)
    assert [Path(one["file"]).name for one in said] == ["1-clear.png", "2-hazy.png"]
    wanted = haziness(street[0].permute(1, 2, 0).numpy())
    assert said[1]["haze"] == pytest.approx(wanted, abs=0.001)

    file = tmp_path / "haze.csv"
    main(["gauge", str(frames), "--format", "csv", "--out", str(file)])
    assert capsys.readouterr().out == f"{file}\n"
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [float(row["haze"]) for row in rows] == [one["haze"] for one in said]


def test_only_what_it_wrote_is_overwritten(frames, tmp_path, street, fails):
    picture = sorted(frames.iterdir())[0]
    before = picture.read_bytes()
    said = fails("gauge", frames, "--out", picture)
    assert said == (
        f"{picture}: exists and was not written by dmaskrcnn gauge; choose another --out"
    )
    assert picture.read_bytes() == before
    out = tmp_path / "haze.txt"
    for form in ("table", "json", "csv", "table"):
        main(["gauge", str(frames), "--format", form, "--out", str(out)])


def test_nothing_that_can_be_read(tmp_path, fails):
    assert "no such file or folder" in fails("gauge", tmp_path / "none")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    said = fails("gauge", tmp_path, said_before=1)
    assert said == f"{tmp_path}: none of 1 images can be read; check the files"


def test_predictions_say_how_hazy_it_is(frames, tmp_path):
    predict_images(LeftHalf(), [frames], tmp_path / "out")
    clear, hazy = (entry["haze"] for entry in content(tmp_path / "out")["images"])
    assert 0 < clear < 0.5 < hazy < 1


def test_two_detectors_share_frames_by_their_haze_with_memory(tmp_path, street):
    hazy, clear = (haziness(picture.permute(1, 2, 0).numpy()) for picture in street)
    middle = (street[0].float() * 0.5 + street[1].float() * 0.5).to(torch.uint8)
    between = haziness(middle.permute(1, 2, 0).numpy())
    assert clear < between - 0.02 < between + 0.02 < hazy
    both = ClearOrHazy(LeftHalf(), LeftHalf(score=0.9), HazeSwitch(between - 0.02, between + 0.02))
    order = [street[1], middle, street[0], middle, street[1], middle]
    found = both.predict(order[:4]) + both.predict(order[4:])  # memory outlasts a batch
    scores = [round(float(one.scores[0]), 2) for one in found]
    assert scores == [0.9, 0.9, 0.75, 0.75, 0.9, 0.9]
    assert both.clear_count == 4


def test_tiles_go_to_the_detector_of_their_picture(tmp_path, street):
    """Fog lies in one part of a picture: its tiles alone would say something else."""
    fog, clear_air = (haziness(one.permute(1, 2, 0).numpy()) for one in street)
    middle = (fog + clear_air) / 2
    scene = torch.cat([street[1], street[1], street[0]], 2)  # clear as a whole, foggy at an end
    assert haziness(scene.permute(1, 2, 0).numpy()) < middle < fog

    hazy, clear = LeftHalf(), LeftHalf()
    both = ClearOrHazy(hazy, clear, HazeSwitch(middle, middle))
    height, width = street[0].shape[1:]
    in_tiles(both, width, 100).predict([scene, street[0]])
    assert len(clear.batches[0]) == len(cut(height, 3 * width, width)) > 3
    assert [len(clear.batches), hazy.batches] == [1, [[(3, height, width)]]]
    assert both.clear_count == 1


@pytest.mark.parametrize("tiles", ["0", "64"])
def test_predict_with_a_run_for_clear_air(tiles, frames, run, tmp_path, capsys):
    torch.manual_seed(1)
    Detector(("bicycle",), UNTRAINED).save(tmp_path)
    words = ["predict", run, frames, "--clear", tmp_path, "--out", tmp_path / "out"]
    main([str(word) for word in [*words, "--threshold", "0", "--tiles", tiles, "--device", "cpu"]])
    assert f"{tmp_path}: 1 of them were clear" in capsys.readouterr().err
    clear, hazy = content(tmp_path / "out")["images"]
    assert {found["class"] for found in clear["detections"]} == {"bicycle"}
    assert {found["class"] for found in hazy["detections"]} <= {"car", "person"}


def test_thresholds_the_wrong_way_round(run, tmp_path, fails):
    photo(tmp_path / "a.jpg")
    words = ("--clear", run, "--haze-thresholds", 0.7, 0.3, "--out", tmp_path / "out")
    said = fails("predict", run, tmp_path / "a.jpg", *words)
    assert said.startswith("--haze-thresholds must be two numbers from 0 to 1, the lower one first")


def test_a_video_is_gauged_each_second(tmp_path: Path, capsys, fails):
    pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    clip = write_clip(tmp_path / "road.mp4", times=[number / 10 for number in range(25)])
    photo(tmp_path / "a.png")
    main(["gauge", str(tmp_path), "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["file"]).name for row in rows] == [
        "a.png",
        "road.mp4#t=0",
        "road.mp4#t=1",
        "road.mp4#t=2",
    ]
    frame = read_dropped(clip, 1.0)
    assert rows[2]["haze"] == pytest.approx(haziness(frame), abs=0.001)
    assert "camera 0: has no end; record a video first" in fails("gauge", "0")
    (tmp_path / "text.mp4").write_text("hello")
    said = fails("gauge", tmp_path / "text.mp4", said_before=1)
    assert "text.mp4: none of 1 images can be read" in said


def test_haze_is_added_to_pictures_alone(tmp_path: Path, fails):
    (tmp_path / "road.mp4").touch()
    words = ["--visibility", "50", "--out", tmp_path / "hazy"]
    said = fails("haze", tmp_path / "road.mp4", *words)
    assert "road.mp4: is a video, and pictures are wanted here" in said
