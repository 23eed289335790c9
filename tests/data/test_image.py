"""Decoding of pictures: rotation, depth, channels."""

import errno
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import decode_image, inspect, open_dataset
from dmaskrcnn.data.image import list_images
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.video_inputs import list_videos


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    stored = write_image(tmp_path / "a.png", orientation=orientation)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    assert np.array_equal(decode_image(tmp_path / "a.png").permute(1, 2, 0).numpy(), upright)


@pytest.mark.parametrize(("height", "width"), [(30, 20), (20, 30)])
def test_annotations_of_a_rotated_picture_fit_the_size_they_state(
    tmp_path: Path, height: int, width: int
) -> None:
    entry = {"id": 1, "file_name": "001.png", "height": height, "width": width}
    path = write_coco(tmp_path, [coco_object(1)], images=1)
    data = json.loads(path.read_text()) | {"images": [entry]}
    path.write_text(json.dumps(data))
    write_image(tmp_path / "images" / "001.png", 20, 30, orientation=6)
    sample = open_dataset(path).load(0)
    assert sample.image.shape[1:] == (height, width)
    assert sample.objects is not None
    assert sample.objects.boxes[0].tolist() == [2, 3, 12, 11]


def test_grey_and_deep_pictures(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((4, 5), 200, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 5), 200 * 257, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((4, 5, 4), 200, np.uint8)).save(tmp_path / "alpha.png")
    for name in ("grey", "deep", "alpha"):
        assert (decode_image(tmp_path / f"{name}.png") == 200).all()


def test_pictures_of_more_than_8_bits_are_read_by_their_own_range(tmp_path: Path) -> None:
    from PIL import Image

    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    shades = (ramp * 255).round()
    pictures = {
        "bits12.png": (ramp * 4095).astype(np.uint16),
        "thermal.png": (22000 + ramp * 300).astype(np.uint16),
        "counts.tif": (ramp * 70000 - 3000).astype(np.int32),
        "unit.tif": ramp.astype(np.float32),
        "kelvin.tif": (280 + ramp * 20).astype(np.float32),
        "full.png": (ramp * 65535).astype(np.uint16),
    }
    for name, values in pictures.items():
        Image.fromarray(values).save(tmp_path / name)
        read = decode_image(tmp_path / name).numpy()
        assert read.dtype == np.uint8
        assert abs(read[0] - shades).max() <= 2, name
        assert (read[0] == read[2]).all()
    found = inspect(tmp_path)
    said = " ".join(note.message for note in found.notes)
    assert "3 pictures are 16-bit" in said
    assert "1 pictures are 32-bit" in said
    assert "2 pictures are float" in said


def test_hot_pixels_and_holes_do_not_set_the_range(tmp_path: Path) -> None:
    from PIL import Image

    values = np.linspace(0.2, 0.3, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[5, 5], values[6, 6], values[7, 7] = 1e30, np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    read = decode_image(tmp_path / "a.tif").numpy()[0]
    assert (read[0, 0], read[6, 6], read[-1, -1]) == (0, 0, 255)
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(UserError, match=r"b\.tif: cannot read the picture"):
        decode_image(tmp_path / "b.tif")


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A colour PNG, which Pillow reads but does not write (PNG specification, 11.2)."""
    height, width, channels = values.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_of_16_bits_keeps_its_hue(tmp_path: Path, channels: int) -> None:
    values = np.zeros((16, 16, channels), np.uint16)
    values[..., :3] = np.linspace(0, 400, 16, dtype=np.uint16)[:, None, None]
    values[..., 1:3] //= 2
    (tmp_path / "a.png").write_bytes(png_of_16_bits(values))
    red, green, _ = decode_image(tmp_path / "a.png").numpy()[:, -1, 0].tolist()
    assert red == 255
    assert green == 128


def test_deep_pictures_are_turned_as_others(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.linspace(0, 4095, 20 * 30).reshape(20, 30).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png", exif=exif)
    assert decode_image(tmp_path / "a.png").shape == (3, 30, 20)
    assert decode_image(tmp_path / "a.png", stored=True).shape == (3, 20, 30)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA"])
def test_pictures_of_8_bits_are_as_pillow_reads_them(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(90, 120, (8, 9, 3), dtype=np.uint8)
    name = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(pixels).convert(mode).save(name)
    with Image.open(name) as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert np.array_equal(decode_image(name).permute(1, 2, 0).numpy(), expected)


def rotated_set(folder: Path, orientation: int, box: tuple[int, ...], **info: object) -> Path:
    """One picture of 20 x 30 as stored, whose stored size is stated."""
    path = write_coco(folder, [coco_object(1, bbox=box)], images=1, info=info)
    write_image(folder / "images" / "001.png", 20, 30, orientation=orientation)
    return path


@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_option_settles_where_boxes_lie(tmp_path: Path, orientation: int) -> None:
    path = rotated_set(tmp_path, orientation, (2, 3, 10, 8))
    stored = write_image(tmp_path / "plain.png", 20, 30)
    sample = open_dataset(path, orientation="stored").load(0)
    assert np.array_equal(sample.image.permute(1, 2, 0).numpy(), stored)
    upright = decode_image(tmp_path / "images" / "001.png")
    sample = open_dataset(path, orientation="upright").load(0)
    assert np.array_equal(sample.image.numpy(), upright.numpy())
    texts: dict[Orientation, str] = {
        "stored": "those of 1 in the picture as stored",
        "upright": "of 1 are",
    }
    for way, text in texts.items():
        found = inspect(path, orientation=way)
        assert found.problems == []
        assert [text in n.message for n in found.notes if n.kind == "rotation"] == [True]


def test_label_studio_draws_upright_and_states_the_stored_size(tmp_path: Path) -> None:
    path = rotated_set(tmp_path / "a", 6, (2, 20, 10, 9), contributor="Label Studio")
    assert open_dataset(path).load(0).image.shape == (3, 30, 20)
    # from another tool the box lies outside, and the message knows why
    path = rotated_set(tmp_path / "b", 6, (2, 20, 10, 9))
    with pytest.raises(UserError, match=r"bbox: .*outside.*EXIF.*--orientation upright"):
        open_dataset(path)
    assert len(open_dataset(path, orientation="upright").load(0).objects or ()) == 1


def test_pictures_of_one_shade_are_told(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a.png")
    assert [note.kind for note in inspect(tmp_path).notes] == ["low contrast"]


def test_folders_that_cannot_be_listed_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("open/a.png", "locked/b.png"):
        write_image(tmp_path / name)
    locked, real = str(tmp_path / "locked"), os.scandir

    def scandir(path: str):
        if os.fspath(path) == locked:  # root, as which tests may run, is refused nothing
            raise PermissionError(errno.EACCES, "Permission denied", locked)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for look in (list_images, list_videos):
        with pytest.raises(UserError) as error:
            look(tmp_path)
        said = f"{locked}: cannot be listed (Permission denied); make it readable, or name the "
        assert str(error.value) == said + "folders beside it"
        assert look(tmp_path / "none") == []
