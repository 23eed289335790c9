"""Predicting into folders that hold files of others, and what is no folder at all."""

import os
from pathlib import Path

import pytest
from predict_cases import LeftHalf, content, files, opened, photo

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import temporary_mark
from dmaskrcnn.images.predict import predict_images


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
    whole = Path.write_bytes

    def write(path: Path, data: bytes) -> int:
        if path.name.startswith((temporary_mark("2.jpg"), temporary_mark("3.jpg"))):
            whole(path, b"half")
            raise OSError(28, "No space left on device")
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(UserError, match=r"2\.jpg.*No space left"):
        predict_images(LeftHalf(), [tmp_path / "in"], tmp_path / "out", batch_size=1)
    assert files(tmp_path / "out") == ["0.jpg", "1.jpg", "detections.json"]
    data = content(tmp_path / "out")
    assert (data["complete"], len(data["images"])) == (False, 2)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_read_only_output_folder(tmp_path):
    path = photo(tmp_path / "a.jpg")
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(UserError, match="cannot be written"):
        predict_images(LeftHalf(), [path], tmp_path / "out")
