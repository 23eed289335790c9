"""``dmaskrcnn dehaze``: folders of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing import Dehazer, dehaze
from dmaskrcnn.images.dehaze import dehaze_images


def test_a_folder_keeps_names_subfolders_and_orientation(
    photos: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    main(["dehaze", str(photos), "--out", str(out)])
    shown = capsys.readouterr()
    assert shown.out.startswith("7 images dehazed, 1 unreadable skipped")
    assert "broken.jpg: cannot read the picture" in shown.err
    assert "dehaze: 8/8 images" in shown.err
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    pictures = {
        "x.png",
        "a/x.JPG",
        "a/grey.png",
        "deep.png",
        "a/b/alpha.webp",
        "pixel.bmp",
        "turned.jpg",
    }
    assert names == pictures | {"dehazed.json"}
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before
    turned = decode_image(out / "turned.jpg")
    assert turned.shape == decode_image(photos / "turned.jpg").shape == (3, 128, 96)
    expected = dehaze(decode_image(photos / "turned.jpg"))
    assert (turned.float() - expected.float()).abs().mean() < 2  # JPEG
    with Image.open(out / "turned.jpg") as picture:
        assert dict(picture.getexif()) == {0x010F: "a camera"}
        assert picture.info["icc_profile"] == b"a profile"
    assert torch.equal(decode_image(out / "x.png"), dehaze(decode_image(photos / "x.png")))
    content = json.loads((out / "dehazed.json").read_text())
    assert content["complete"] is True
    assert {entry["picture"] for entry in content["images"]} == pictures
    assert content["skipped"][0]["file"].endswith("broken.jpg")


def test_only_pictures_of_earlier_runs_are_overwritten(photos: Path, tmp_path: Path) -> None:
    dehazer = Dehazer("dark-channel")
    inside = photos / "a"
    dehaze_images(dehazer, [photos / "x.png"], inside, progress=False)
    assert sorted(path.name for path in inside.iterdir() if path.is_file()) == [
        "dehazed.json",
        "grey.pgm",
        "x.JPG",
        "x.png",
    ]
    foreign = inside / "deep.png"
    foreign.write_bytes(b"someone's")
    summary = dehaze_images(
        Dehazer("aod-net"),
        [photos / "x.png", photos / "deep.png"],
        inside,
        True,
        False,
    )
    assert summary.images == 2
    assert foreign.read_bytes() == b"someone's"
    names = sorted(path.name for path in inside.iterdir() if path.is_file())
    assert names == [
        "deep-2.png",
        "deep-maps.png",
        "deep.png",
        "dehazed.json",
        "grey.pgm",
        "x-maps.png",
        "x.JPG",
        "x.png",
    ]
    dehaze_images(dehazer, [photos / "x.png"], inside, progress=False)
    assert json.loads((inside / "dehazed.json").read_text())["earlier"] == [
        "deep-2.png",
        "deep-maps.png",
        "x-maps.png",
    ]
    # the same picture as input and as planned output: neither is lost
    original = (photos / "x.png").read_bytes()
    dehaze_images(dehazer, [photos / "x.png"], photos, progress=False)
    assert (photos / "x.png").read_bytes() == original
    assert (photos / "x-2.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png", "--out", "out"], "missing.png: no such file or folder"),
        (["photos", "--out", "photos"], "is the output folder and an input folder"),
        (["photos/broken.jpg", "--out", "out"], "none of the 1 images can be read"),
        (["photos", "--out", "photos/x.png"], "cannot be written"),
        (["photos", "--out", "taken"], "was not written by dmaskrcnn dehaze"),
        (
            ["photos", "--out", "out", "--method", "aod-net", "--weights", "photos/x.png"],
            "no weights of aod-net",
        ),
        (["--out", "out"], "no images given"),
    ],
)
def test_bad_input_ends_in_one_line(
    photos: Path, arguments, message: str, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("taken").mkdir()
    Path("taken/dehazed.json").write_text("{}")
    with pytest.raises(SystemExit) as caught:
        main(["dehaze", *arguments])
    assert caught.value.code == 2
    error = [
        line
        for line in capsys.readouterr().err.splitlines()
        if not line.startswith(("skipped", "dehaze:"))
    ]
    assert len(error) == 1
    assert message in error[0]
