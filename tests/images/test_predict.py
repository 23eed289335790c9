"""Predicting files and folders with a detector that finds the left half of every image."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.predict import PredictionSummary, predict_images


class LeftHalf:
    """Finds one car with a score of 0.75, and remembers the sizes of what it was given."""

    def __init__(
        self, score: float = 0.75, fail_at: BaseException | None = None, fail_after: int = 10**9
    ):
        self.score, self.fail_at, self.fail_after = score, fail_at, fail_after
        self.batches: list[list[tuple[int, ...]]] = []

    def predict(self, images: list[torch.Tensor], threshold: float = 0.5) -> list[Detections]:
        if len(self.batches) == self.fail_after and self.fail_at is not None:
            raise self.fail_at
        self.batches.append([tuple(image.shape) for image in images])
        assert all(image.dtype == torch.uint8 for image in images)
        return [self.one(image.shape[1], image.shape[2]).above(threshold) for image in images]

    def one(self, height: int, width: int) -> Detections:
        half = max(1, width // 2)
        mask = torch.zeros(1, height, width, dtype=torch.bool)
        mask[:, :, :half] = True
        box = torch.tensor([[0.0, 0.0, half, height]])
        return Detections(
            box, torch.tensor([1]), torch.tensor([self.score]), mask, ("person", "car")
        )


def photo(path: Path, size: tuple[int, int] = (40, 30), colour: str = "grey", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def opened(path: Path) -> np.ndarray:
    """The picture as int ``(H, W, 3)``."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def content(out: Path) -> dict:
    return json.loads((out / "detections.json").read_text(encoding="utf-8"))


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


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


def test_images_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    one = photo(tmp_path / "one" / "x.png", (10, 10))
    two = photo(tmp_path / "two" / "x.jpg", (20, 10))
    photo(tmp_path / "three" / "X.JPG", (30, 10))
    photo(tmp_path / "three" / "x-2.bmp", (40, 10))
    predict_images(LeftHalf(), [one, two, tmp_path / "three"], tmp_path / "out")
    widths = {image["picture"]: image["width"] for image in content(tmp_path / "out")["images"]}
    assert len({name.casefold() for name in widths}) == 4
    assert sorted(widths.values()) == [10, 20, 30, 40]
    assert widths["x.jpg"] == 10
    for name, width in widths.items():
        assert opened(tmp_path / "out" / name).shape[1] == width


def test_a_file_named_twice_is_predicted_once(tmp_path):
    path = photo(tmp_path / "in" / "a.jpg")
    assert (
        predict_images(LeftHalf(), [path, tmp_path / "in", str(path)], tmp_path / "out").images == 1
    )


def test_running_again_overwrites_its_own_pictures_only(tmp_path):
    photo(tmp_path / "in" / "a.png")
    for _ in range(2):
        predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out")
        assert files(tmp_path / "out") == ["a.jpg", "detections.json"]
    mine = photo(tmp_path / "other" / "a.jpg").read_bytes()
    predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "other")
    assert files(tmp_path / "other") == ["a-2.jpg", "a.jpg", "detections.json"]
    assert (tmp_path / "other" / "a.jpg").read_bytes() == mine


def test_inputs_are_never_overwritten(tmp_path):
    path = photo(tmp_path / "a.jpg")
    before = path.read_bytes()
    with pytest.raises(UserError, match="output folder and an input folder"):
        predict_images(LeftHalf(), [tmp_path], tmp_path / "x" / "..")
    assert files(tmp_path) == ["a.jpg"]
    predict_images(LeftHalf(), [path], tmp_path)
    assert files(tmp_path) == ["a-2.jpg", "a.jpg", "detections.json"]
    assert path.read_bytes() == before


def test_an_input_below_the_output_folder(tmp_path):
    photo(tmp_path / "in" / "in" / "a.jpg", colour="red")
    photo(tmp_path / "in" / "a.jpg", colour="blue")
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    assert predict_images(LeftHalf(), [tmp_path / "in"], tmp_path).images == 2
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path):
    photo(tmp_path / "a.jpg")
    for _ in range(2):
        assert predict_images(LeftHalf(), [tmp_path], tmp_path / "out").images == 1
    assert files(tmp_path) == ["a.jpg", "out/a.jpg", "out/detections.json"]


def test_a_foreign_detections_json_is_left_alone(tmp_path):
    path = photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "detections.json").write_text('{"images": []}')
    with pytest.raises(UserError, match=r"detections\.json.*not written by"):
        predict_images(LeftHalf(), [path], tmp_path)
    assert (tmp_path / "detections.json").read_text() == '{"images": []}'


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["missing"], "missing: no such"),
        (["empty"], "empty: no images"),
        ([], "no images given"),
        (["a.jpg", "missing"], "missing"),
    ],
)
def test_wrong_inputs_are_named_before_any_work(tmp_path, inputs, message):
    photo(tmp_path / "a.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        predict_images(LeftHalf(), [tmp_path / name for name in inputs], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [{"threshold": 1.5}, {"threshold": float("nan")}, {"batch_size": 0}]
)
def test_wrong_options_are_named(tmp_path, options):
    with pytest.raises(UserError, match=next(iter(options))):
        predict_images(LeftHalf(), [photo(tmp_path / "a.jpg")], tmp_path / "out", **options)


def test_an_output_that_cannot_be_a_folder(tmp_path):
    path = photo(tmp_path / "a.jpg")
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(UserError, match=r"file.*--out"):
            predict_images(LeftHalf(), [path], out)


def test_a_full_disk_names_the_file_and_leaves_no_half_picture(tmp_path, monkeypatch):
    for index in range(4):
        photo(tmp_path / "in" / f"{index}.png")
    save = Image.Image.save

    def write(self: Image.Image, path: Path, *arguments: object, **options: object) -> None:
        if path.name.startswith((".2", ".3")):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(self, path, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", write)
    with pytest.raises(UserError, match=r"2\.jpg.*No space left"):
        predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out", batch_size=1)
    assert files(tmp_path / "out") == ["0.jpg", "1.jpg", "detections.json"]
    data = content(tmp_path / "out")
    assert (data["complete"], len(data["images"])) == (False, 2)


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


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_output_folder(tmp_path):
    path = photo(tmp_path / "a.jpg")
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(UserError, match="cannot be written"):
        predict_images(LeftHalf(), [path], tmp_path / "out")
