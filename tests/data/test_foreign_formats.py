"""Labels of other formats are called by their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.errors import UserError

JSONS: dict[str, Any] = {
    "labelme": {"version": "5.0", "shapes": [], "imagePath": "a.jpg", "imageData": None},
    "detections": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}],
    "BDD100K": [{"name": "a.jpg", "labels": [{"category": "car", "box2d": {}}]}],
    "Cityscapes": {"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "car", "polygon": []}]},
    "VGG Image Annotator": {"a.jpg123": {"filename": "a.jpg", "regions": {}}},
    "Label Studio": [{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}],
    "CreateML": [{"image": "a.jpg", "annotations": []}],
    "Datumaro": {"info": {}, "categories": {}, "items": []},
    "panoptic": {
        "images": [],
        "annotations": [{"image_id": 1, "segments_info": []}],
        "categories": [],
    },
    "LVIS": {
        "images": [{"id": 1, "coco_url": "http://x/1.jpg", "height": 4, "width": 4}],
        "annotations": [],
        "categories": [],
    },
}


@pytest.mark.parametrize("name", JSONS)
def test_json(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(JSONS[name]))
    with pytest.raises(UserError, match=f"not COCO.*{name}") as error:
        open_dataset(path)
    assert "\n" not in str(error.value)


def test_a_list_of_target_images_does_not_hang_on_what_its_annotations_are(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [{"segments_info": []}])
    assert len(open_images(path)) == 2


KITTI = "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n"
FILES = {
    "voc.xml": ("<annotation><object/></annotation>", "Pascal VOC.*folder"),
    "a.csv": ("ImageID,Source,LabelName,Confidence,XMin\n", "OpenImages"),
    "a.txt": (KITTI, "KITTI"),
    "b.txt": ("0 0.5 0.5 0.2 0.2\n", "YOLO labels; name the folder"),
    "set.zip": ("PK", "unpack"),
}


@pytest.mark.parametrize("name", FILES)
def test_single_files(tmp_path: Path, name: str) -> None:
    text, expected = FILES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=expected):
        open_dataset(tmp_path / name)


FOLDERS = {
    "label_2/a.txt": (KITTI, "KITTI"),
    "a.json": (json.dumps(JSONS["BDD100K"]), "BDD100K"),
    "a.csv": (FILES["a.csv"][0], "OpenImages"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(tmp_path: Path, name: str) -> None:
    text, expected = FOLDERS[name]
    write_image(tmp_path / "a.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert [expected in note.message for note in open_dataset(tmp_path).notes] == [True]
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=f"no picture.*{expected}"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("text", ["", "a b c\n", "notes about the pictures\n", "1 2 3 4 5\n"])
def test_other_texts_beside_pictures_are_nothing(tmp_path: Path, text: str) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text(text)
    assert open_dataset(tmp_path).notes == ()


def test_coco_is_not_taken_for_another(tmp_path: Path) -> None:
    extra = {"description": "", "tags": [], "size": {}, "items": []}
    assert len(open_dataset(write_coco(tmp_path, [coco_object(1)], **extra))) == 2
