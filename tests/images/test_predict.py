"""Predicting files and folders: what is found, what is written, what is said."""

import sys
from pathlib import Path

import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from predict_cases import LeftHalf, content, files, opened, photo

from dmaskrcnn.errors import UserError
from dmaskrcnn.images.predict import PredictionSummary, predict_images


def test_a_folder_gives_a_picture_each_and_one_json(tmp_path):
    source, out = tmp_path / "in", tmp_path / "new" / "out"
    photo(source / "a.jpg")
    photo(source / "deep" / "er" / "b.png", (200, 60))
    (source / "notes.txt").write_text("no image")
    summary = predict_images(LeftHalf(), [source], out)
    assert files(out) == ["a.jpg", "deep/er/b.jpg", "detections.json"]
    assert (summary.images, summary.objects, summary.skipped, summary.json) == (
        2,
        2,
        [],
        out / "detections.json",
    )
    assert summary.seconds > 0
    data = content(out)
    assert (data["format"], data["complete"], data["threshold"]) == (
        "dmaskrcnn predict 1",
        True,
        0.5,
    )
    assert data["skipped"] == []
    first, second = data["images"]
    assert first["file"] == (source / "a.jpg").as_posix()
    assert second["picture"] == "deep/er/b.jpg"
    assert (second["width"], second["height"]) == (200, 60)
    (found,) = second["detections"]
    assert (found["class"], found["score"], found["box"]) == ("car", 0.75, [0.0, 0.0, 100.0, 60.0])
    assert coco_mask.decode(found["mask"]).sum() == 100 * 60
    drawn = opened(out / "deep" / "er" / "b.jpg")
    assert drawn.shape == (60, 200, 3)
    assert abs(drawn[:, 110:] - 128).max() < 5  # the right half is as it was, up to JPEG's rounding
    assert abs(drawn[40, 50] - 128).max() > 30  # the left half is tinted


def test_nothing_found_is_written_too(tmp_path):
    photo(tmp_path / "in" / "a.jpg")
    summary = predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out", threshold=0.9)
    assert (summary.images, summary.objects) == (1, 0)
    said = "no object reached 0.9; the best score was 0.75: --threshold 0.75"
    assert str(summary).startswith(f"{said}\n0 objects in 1 images")
    assert content(tmp_path / "out")["images"][0]["detections"] == []
    assert files(tmp_path / "out") == ["a.jpg", "detections.json"]


def test_images_go_to_the_detector_in_batches_and_in_order(tmp_path):
    for index in range(7):
        photo(tmp_path / "in" / f"{index}.png", (10 + index, 8))
    detector = LeftHalf()
    predict_images(detector, [tmp_path / "in"], tmp_path / "out", batch_size=3)
    assert [[shape[2] for shape in batch] for batch in detector.batches] == [
        [10, 11, 12],
        [13, 14, 15],
        [16],
    ]
    assert [image["width"] for image in content(tmp_path / "out")["images"]] == list(range(10, 17))


def test_exif_rotation_is_honoured_and_tiny_images_work(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90°
    photo(tmp_path / "in" / "turned.jpg", (40, 30), exif=exif)
    photo(tmp_path / "in" / "pixel.png", (1, 1))
    predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out")
    assert opened(tmp_path / "out" / "turned.jpg").shape == (40, 30, 3)
    assert opened(tmp_path / "out" / "pixel.jpg").shape == (1, 1, 3)


def test_unreadable_files_are_named_skipped_and_counted(tmp_path, capsys):
    photo(tmp_path / "in" / "good.jpg")
    (tmp_path / "in" / "text.jpg").write_text("not a picture")
    whole = photo(tmp_path / "whole.jpg", (400, 300)).read_bytes()
    (tmp_path / "in" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    summary = predict_images(
        LeftHalf(), [tmp_path / "in"], tmp_path / "out", batch_size=1, progress=False
    )
    assert (summary.images, [path.name for path, _ in summary.skipped]) == (
        1,
        ["cut.jpg", "text.jpg"],
    )
    assert "2 unreadable skipped" in str(summary)
    shown = capsys.readouterr().err
    assert "cut.jpg" in shown
    assert "text.jpg" in shown
    skipped = content(tmp_path / "out")["skipped"]
    assert [Path(entry["file"]).name for entry in skipped] == ["cut.jpg", "text.jpg"]
    assert all(entry["reason"] for entry in skipped)
    assert files(tmp_path / "out") == ["detections.json", "good.jpg"]


def test_only_unreadable_files_is_an_error_that_leaves_earlier_results(tmp_path, capsys):
    photo(tmp_path / "in" / "good.jpg")
    predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    (tmp_path / "in" / "good.jpg").write_text("not a picture")
    with pytest.raises(UserError, match=r"good\.jpg.*none of the 1 images"):
        predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out")
    assert {
        name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")
    } == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_an_interrupted_run_keeps_what_it_has_found(tmp_path, error):
    for index in range(9):
        photo(tmp_path / "in" / f"{index}.png")
    with pytest.raises(type(error)):
        predict_images(
            LeftHalf(fail_at=error, fail_after=3), [tmp_path / "in"], tmp_path / "out", batch_size=2
        )
    data = content(tmp_path / "out")
    assert not data["complete"]
    assert [image["picture"] for image in data["images"]] == [f"{index}.jpg" for index in range(6)]
    assert files(tmp_path / "out") == [*(f"{index}.jpg" for index in range(6)), "detections.json"]


def test_progress_lines_without_a_terminal(tmp_path, capsys):
    for index in range(20):
        photo(tmp_path / "in" / f"{index}.png", (4, 4))
    predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out")
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("predict: 2/20 images, ")
    assert lines[-1] == "predict: 20/20 images, 0 s left"
    predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out", progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("not a picture")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out")
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "skipped" in shown


def test_the_summary_is_one_line():
    line = str(PredictionSummary(Path("out"), images=3, objects=5, seconds=1.25))
    assert line == "5 objects in 3 images, 1.2 s: out"
