"""Whatever shows a picture, as one form; folders, patterns and iterables, as their pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dmaskrcnn.data.globs import is_pattern, match
from dmaskrcnn.data.image import set_max_pixels
from dmaskrcnn.data.picture_input import (
    as_eight_bits,
    each_picture,
    image_pixels,
    image_tensor,
    is_one,
)
from dmaskrcnn.errors import UserError

RGB = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def png(image: Image.Image, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", **options)
    return data.getvalue()


def frozen() -> np.ndarray:
    array = RGB.copy()
    array.flags.writeable = False
    return array


FORMS: dict[str, Any] = {
    "array": RGB,
    "channels first": RGB.transpose(2, 0, 1),
    "mirrored twice": RGB[:, ::-1].copy()[:, ::-1],
    "read only": frozen(),
    "big endian floats": (RGB / 255).astype(">f4"),
    "floats": RGB / 255,
    "half": torch.from_numpy(RGB / 255).permute(2, 0, 1).float(),
    "tensor": torch.from_numpy(RGB).permute(2, 0, 1),
    "tensor with gradient": (torch.from_numpy(RGB).permute(2, 0, 1) / 255).requires_grad_(),
    "pillow": Image.fromarray(RGB),
    "transparent": Image.fromarray(np.dstack([RGB, GREY])),
    "bytes": png(Image.fromarray(RGB)),
    "view of bytes": memoryview(png(Image.fromarray(RGB))),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_picture(form: str):
    assert is_one(FORMS[form])
    tensor = image_tensor(as_eight_bits(image_pixels(FORMS[form])))
    assert tensor.dtype == torch.uint8
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), RGB)


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        GREY[..., None],
        torch.from_numpy(GREY.copy()),
        torch.from_numpy(GREY.copy())[None],
        Image.fromarray(GREY),
        Image.fromarray(np.dstack([GREY, GREY]), "LA"),
        Image.fromarray(GREY).convert("P"),
    ],
)
def test_grey_pictures_get_three_equal_channels(image):
    np.testing.assert_array_equal(image_pixels(image), np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr", "HSV", "P", "PA", "RGBX", "RGBa", "La"])
def test_pillows_other_modes_are_converted(mode: str):
    image = Image.fromarray(RGB)
    through = {"RGBa": "RGBA", "La": "LA", "PA": "P"}.get(mode)
    image = (image.convert(through) if through else image).convert(mode)
    assert image_pixels(image).shape == (6, 7, 3)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_pictures_are_read_by_their_own_range(mode: str, tmp_path: Path):
    counts = (np.arange(42).reshape(6, 7) * 100 + 1000).astype(np.uint16)
    image = Image.fromarray(
        counts.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
    )
    assert image.mode == mode
    image.save(tmp_path / "deep.tif")
    expected = image_pixels(tmp_path / "deep.tif")
    assert (expected.min(), expected.max()) == (0, 255)
    np.testing.assert_array_equal(image_pixels(image), expected)
    if mode == "I;16":
        np.testing.assert_array_equal(image_pixels(counts), expected)


def test_orientation_is_honoured_and_the_picture_left_alone(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(RGB, -1)
    np.testing.assert_array_equal(image_pixels(tmp_path / "turned.png"), upright)
    np.testing.assert_array_equal(image_pixels((tmp_path / "turned.png").read_bytes()), upright)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(image_pixels(opened), upright)
        assert opened.size == (7, 6)


def test_bgr_turns_arrays_and_tensors_not_files(tmp_path: Path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    bgr = RGB[:, :, ::-1]
    for image in (bgr, torch.from_numpy(bgr.copy()).permute(2, 0, 1), tmp_path / "a.png"):
        tensor = image_tensor(image, channels="bgr")
        np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), RGB)
    with pytest.raises(UserError, match="'rgb' or 'bgr'"):
        image_pixels(RGB, channels="gbr")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "NoneType is no picture"),
        ({"a": 1}, "dict is no picture"),
        (7, "int is no picture"),
        (np.zeros((8, 8, 4), np.uint8), r"got \(8, 8, 4\)"),
        (np.zeros((0, 8, 3), np.uint8), r"got \(0, 8, 3\)"),
        (np.zeros(3, np.uint8), r"got \(3,\)"),
        (np.zeros((8, 8, 3), np.int64), "got int64"),
        (np.zeros((8, 8, 3), bool), "got bool"),
        (np.array("text"), r"got \(\)"),
        (torch.zeros(3, 8, 8).long(), "got int64"),
        (torch.zeros(3, 8, 8) + float("nan"), "got nan to nan"),
        (torch.full((3, 8, 8), 255.0), "divide them by 255"),
        (np.full((8, 8, 3), -0.5), "got -0.5"),
        (Image.new("RGB", (0, 4)), "without pixels"),
        (b"no picture", "image of 10 bytes: cannot read"),
        (b"", "image of 0 bytes: cannot read"),
        (png(Image.fromarray(RGB))[:60], "cannot read the picture"),
        ("nowhere.jpg", "nowhere.jpg: no such picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(image: Any, said: str):
    with pytest.raises(UserError, match=said) as caught:
        image_pixels(image)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_rounding_beyond_the_range_is_no_other_range():
    assert image_pixels(np.array([[-1e-6, 1.001]])).tolist() == [[[0, 0, 0], [1, 1, 1]]]


def test_a_huge_picture_in_bytes_is_not_decoded():
    usual = Image.MAX_IMAGE_PIXELS
    try:
        set_max_pixels(1e-5)
        with pytest.raises(UserError, match=r"image of .* bytes: has .* megapixels"):
            image_pixels(png(Image.fromarray(RGB)))
    finally:
        Image.MAX_IMAGE_PIXELS = usual


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    for name in (
        "cams/a/2026-1.jpg",
        "cams/a/2025.jpg",
        "cams/b/deep/2026-2.png",
        "cams/.h/2026.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RGB).save(tmp_path / name)
    (tmp_path / "cams" / "a" / "2026.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("cams/*/2026*.jpg", ["a/2026-1.jpg"]),
        ("cams/**/2026*", ["a/2026-1.jpg", "b/deep/2026-2.png"]),
        ("cams/?", ["a/2025.jpg", "a/2026-1.jpg", "b/deep/2026-2.png"]),
        ("cams/**", ["a/2025.jpg", "a/2026-1.jpg", "b/deep/2026-2.png"]),
        ("cams/.h/*", [".h/2026.jpg"]),
    ],
)
def test_patterns(pattern: str, names: list[str], cameras: Path, monkeypatch: pytest.MonkeyPatch):
    root = "cams/.h" if pattern.startswith("cams/.h") else "cams"
    for base in (cameras, Path()):
        monkeypatch.chdir(cameras)
        assert is_pattern(base / pattern)
        found, pictures = match(base / pattern)
        assert found == base / root
        assert pictures == [base / "cams" / name for name in names]
        assert list(each_picture(str(base / pattern))) == pictures


def test_patterns_without_pictures_say_so(cameras: Path):
    for pattern, said in (("none*", "nothing matches"), ("cams/a/*.txt", "none of the 1 matches")):
        with pytest.raises(UserError, match=said):
            list(each_picture(cameras / pattern))
    with pytest.raises(UserError, match="no images in this folder"):
        list(each_picture(cameras / "empty"))


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path):
    Image.fromarray(RGB).save(tmp_path / "photo[1].png")
    assert list(each_picture(tmp_path / "photo[1].png")) == [tmp_path / "photo[1].png"]


@pytest.mark.parametrize("several", [list, tuple, iter, lambda items: (item for item in items)])
def test_iterables_of_anything(several: Callable, cameras: Path):
    batch = np.stack([RGB, RGB])
    items = several([cameras / "cams" / "a", GREY, [b"x", cameras / "cams/b/*/*.png"], batch])
    assert not is_one(items)
    found = list(each_picture(items))
    assert len(found) == 2 + 1 + 2 + 2
    assert found[0] == cameras / "cams" / "a" / "2025.jpg"
    assert found[4] == cameras / "cams" / "b" / "deep" / "2026-2.png"
    np.testing.assert_array_equal(found[6], RGB)  # pyright: ignore[reportArgumentType]
