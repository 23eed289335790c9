"""Pictures made from others: readable whatever those were, and described as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import coco_object, write_coco
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from dmaskrcnn.cli.main import main
from dmaskrcnn.data import open_dataset
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.images.picture_files import save_picture

MADE = Image.new("RGB", (6, 4), (200, 100, 50))


def described() -> bytes:
    exif = Image.Exif()
    exif[Base.Make] = "a camera"
    exif[Base.Orientation] = 6
    exif.get_ifd(IFD.Exif)[Base.ExposureTime] = 0.5
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    return exif.tobytes()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"]
)
def test_a_tiff_says_how_its_own_pixels_lie(mode: str, compression: str, tmp_path: Path) -> None:
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        source = Image.fromarray(np.ones((4, 6), kind))
    else:
        source = Image.new("RGB", (6, 4)).convert(mode)
    source.save(tmp_path / "source.tif", compression=compression, tiffinfo={Base.Make: "a camera"})
    for origin in (tmp_path / "source.tif", (tmp_path / "source.tif").read_bytes()):
        save_picture(MADE, origin, tmp_path / "made.tif")
        with Image.open(tmp_path / "made.tif") as picture:
            assert picture.mode == "RGB"
            np.testing.assert_array_equal(picture, MADE)
            assert picture.getexif()[Base.Make] == "a camera"


@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "webp"])
def test_what_describes_a_picture_survives_but_not_its_rotation(
    suffix: str, tmp_path: Path
) -> None:
    source = tmp_path / f"source.{suffix}"
    MADE.save(source, exif=described(), icc_profile=b"a profile")
    save_picture(MADE, source, tmp_path / f"made.{suffix}")
    with Image.open(tmp_path / f"made.{suffix}") as picture:
        exif = picture.getexif()
        assert exif[Base.Make] == "a camera"
        assert Base.Orientation not in exif
        assert exif.get_ifd(IFD.Exif)[Base.ExposureTime] == 0.5
        assert exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] == "N"
        assert picture.info["icc_profile"] == b"a profile"


def test_a_turned_grey_tiff_is_converted(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "in", [coco_object(1)], images=1)
    path.write_text(path.read_text().replace("001.png", "001.tif"))
    grey = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30))
    grey.save(tmp_path / "in" / "images" / "001.tif", exif=described())
    main(f"convert {path} --to yolo --out {tmp_path}/out".split())  # without PyTorch's tensors
    (written,) = open_dataset(tmp_path / "out").paths
    assert decode_image(written).equal(open_dataset(path).load(0).image)
