"""Decoding of pictures: rotation, depth, channels."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import decode_image, open_dataset


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
