"""JPEGs decoded at a part of their size: the same picture reduced, boxes and masks where they were,
and every other file and error as before."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import coco_object, write_coco
from PIL import Image

from dmaskrcnn.data import Augmentation, open_dataset, open_images
from dmaskrcnn.data.image import decode_pixels, decode_reduced
from dmaskrcnn.errors import UserError

SIZE = (480, 640)


def photograph(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Smooth noise."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return large.convert(mode)


def jpeg(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_part_of_the_size_is_the_same_picture(
    mode: str, progressive: bool, orientation: int
) -> None:
    data = jpeg(photograph(mode), progressive=progressive, exif=turned(orientation))
    whole = decode_pixels(data)
    for least, factor in (((60, 1000), 8), ((61, 1000), 4), ((240, 320), 2), ((240, 321), 2)):
        reduced, times = decode_reduced(data, least)
        assert times == factor
        assert reduced.shape == (whole.shape[0] // times, whole.shape[1] // times, 3)
        blocks = whole.reshape(reduced.shape[0], times, reduced.shape[1], times, 3)
        assert np.abs(reduced - blocks.mean((1, 3))).mean() < 1


@pytest.mark.parametrize("least", [(241, 1000), (480, 640), (800, 1333)])
def test_what_is_needed_is_not_undercut(least: tuple[int, int]) -> None:
    data = jpeg(photograph())
    reduced, times = decode_reduced(data, least)
    assert times == 1
    assert np.array_equal(reduced, decode_pixels(data))


@pytest.mark.parametrize(("size", "factor"), [((481, 640), 1), ((482, 640), 2), ((484, 644), 4)])
def test_only_whole_blocks_of_pixels(size: tuple[int, int], factor: int) -> None:
    assert decode_reduced(jpeg(photograph(size=size)), (40, 60))[1] == factor


def test_other_files_are_read_whole(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.png")
    deep = np.arange(480 * 640, dtype=np.uint16).reshape(SIZE)
    Image.fromarray(deep).save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        reduced, times = decode_reduced(tmp_path / name, (60, 80))
        assert times == 1
        assert np.array_equal(reduced, decode_pixels(tmp_path / name))


def test_a_second_picture_in_the_file_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    photograph().save(path, "MPO", save_all=True, append_images=[photograph()])
    reduced, times = decode_reduced(path, (120, 160))
    assert (times, reduced.shape) == (4, (120, 160, 3))


def test_errors_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(photograph()))
    stated = [(481, 640), (480, 641), (240, 320)]
    for size in stated:
        with pytest.raises(UserError, match="is 640x480 but its annotations say"):
            decode_reduced(path, (60, 80), size)
    path.write_bytes(path.read_bytes()[:5000])
    said = []
    for least in (None, (60, 80)):
        with pytest.raises(UserError, match="cannot read the picture") as raised:
            decode_reduced(path, least)
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("frame", ["stored", "upright"])
def test_training_sees_the_same_objects(tmp_path: Path, orientation: int, frame: str) -> None:
    size = SIZE if orientation == 1 or frame == "stored" else SIZE[::-1]
    polygon = [[100, 100, 300, 90, 350, 300, 120, 280]]
    marked = coco_object(1, bbox=(100, 90, 250, 210), segmentation=polygon)
    entry = {"id": 1, "file_name": "a.jpg", "height": size[0], "width": size[1]}
    labels = write_coco(tmp_path, [marked], images=0)
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"images": [entry]}))
    (tmp_path / "a.jpg").write_bytes(jpeg(photograph(), exif=turned(orientation)))
    data = open_dataset(labels)
    for augment in (
        Augmentation(120, 200, scale=(0.5, 1.0)),
        Augmentation(100, 200, scale=(0.5, 2.0)),
        Augmentation(120, 200, mosaic=1.0),
    ):
        reduced, whole = data.load(0, augment.least), data.load(0)
        assert (reduced.reduced, whole.reduced) == (2 if augment.scale[1] > 1 else 4, 1)
        assert reduced.size == whole.size == size
        for seed in range(4):
            others = [3 * [reduced], 3 * [whole]] if augment.mosaic else [[], []]
            a, b = augment(reduced, seed, others[0]), augment(whole, seed, others[1])
            assert a.reduced == 1
            assert a.image.shape == b.image.shape
            # windows begin at whole pixels, of which the reduced picture has fewer
            assert (a.image.float() - b.image.float()).abs().mean() < 8
            assert a.objects is not None
            assert b.objects is not None
            assert len(a.objects) == len(b.objects)
            assert (a.objects.boxes - b.objects.boxes).abs().max() <= augment.scale[1] * 1.01
            apart = (a.objects.masks ^ b.objects.masks).sum()
            assert apart <= 0.05 * b.objects.masks.sum()


def test_without_labels_likewise(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(photograph()))
    sample = open_images(tmp_path).load(0, (120, 160))
    assert (sample.reduced, sample.size) == (4, SIZE)
    assert sample.image.dtype == torch.uint8
