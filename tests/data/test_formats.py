"""Formats, classes, masks, EXIF, and that target images do not hang on annotations."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import (
    coco_object,
    compressed,
    counts_of,
    voc_object,
    voc_xml,
    write_coco,
    write_image,
    write_voc,
)

from dmaskrcnn.data import Dataset, canonical, list_images, open_dataset, open_images
from dmaskrcnn.errors import UserError


def blob(height: int = 20, width: int = 30) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return ((rows - 9) ** 2 + (columns - 12) ** 2 < 40) | (rows == height - 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Motorbike", "motorcycle"),
        ("motorcycle", "motorcycle"),
        (" AEROPLANE ", "airplane"),
        ("tvmonitor", "tv"),
        ("diningtable", "dining table"),
        ("sofa", "couch"),
        ("pottedplant", "potted plant"),
        ("traffic_light", "traffic light"),
        ("pedestrian", "pedestrian"),
    ],
)
def test_canonical(name: str, expected: str) -> None:
    assert canonical(name) == expected
    assert canonical(expected) == expected


def test_coco_boxes_masks_and_crowd(tmp_path: Path) -> None:
    mask = blob()
    rectangle = [4, 5, 14, 5, 14, 12, 4, 12]
    objects = [
        coco_object(1, segmentation=[rectangle]),
        coco_object(2, segmentation={"size": [20, 30], "counts": counts_of(mask)}, iscrowd=1),
        coco_object(
            3, category=7, segmentation={"size": [20, 30], "counts": compressed(counts_of(mask))}
        ),
        coco_object(4),
        coco_object(5, segmentation=[]),
        coco_object(6, segmentation=[rectangle, [20, 1, 24, 1, 24, 3, 20, 3]]),
    ]
    data = open_dataset(write_coco(tmp_path, objects))
    assert data.labelled
    assert data.classes == ("car", "motorcycle")
    assert data.category_ids == (3, 7)
    assert data.image_ids == [1, 2]
    sample = data.load(0)
    truth = sample.objects
    assert truth is not None
    assert sample.image.dtype == torch.uint8
    assert sample.image.shape == (3, 20, 30)
    assert truth.boxes.dtype == torch.float32
    assert truth.boxes[0].tolist() == [2, 3, 12, 11]
    assert truth.labels.tolist() == [0, 0, 1, 0, 0, 0]
    assert truth.labels.dtype == torch.int64
    assert truth.crowd.tolist() == [False, True, False, False, False, False]
    assert truth.has_mask.tolist() == [True, True, True, False, False, True]
    assert truth.masks.dtype == torch.bool
    expected = np.zeros((20, 30), bool)
    expected[5:12, 4:14] = True
    assert np.array_equal(truth.masks[0].numpy(), expected)
    assert np.array_equal(truth.masks[1].numpy(), mask)
    assert np.array_equal(truth.masks[2].numpy(), mask)
    assert not truth.masks[3:5].any()
    expected[1:3, 20:24] = True
    assert np.array_equal(truth.masks[5].numpy(), expected)
    negative = data.annotations(1)
    assert negative.boxes.shape == (0, 4)
    assert negative.masks.shape == (0, 20, 30)


def test_triangle_agrees_with_point_in_triangle(tmp_path: Path) -> None:
    corners = np.array([[2.0, 1.0], [27.0, 6.0], [9.0, 18.0]])
    data = open_dataset(
        write_coco(tmp_path, [coco_object(1, segmentation=[corners.flatten().tolist()])])
    )
    y, x = np.mgrid[:20, :30] + 0.5
    sides = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    inside = np.all(np.array(sides) > 0, axis=0)
    mask = data.annotations(0).masks[0].numpy()
    assert (mask & inside).sum() / (mask | inside).sum() > 0.9


def test_coco_images_are_found_where_tools_put_them(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [], name="instances_val2017.json")
    for place in ("", "val2017", "images/val2017"):
        folder = tmp_path / "other" / place
        shutil.copytree(tmp_path / "images", folder, dirs_exist_ok=True)
        json_path = tmp_path / "other" / path.name
        shutil.copy(path, json_path)
        assert [p.parent for p in open_dataset(json_path).paths] == [folder, folder]
        (tmp_path / "other" / "annotations").mkdir()
        moved = json_path.rename(tmp_path / "other" / "annotations" / path.name)
        assert len(open_dataset(moved)) == 2  # COCO's own layout: annotations/ beside val2017/
        assert len(open_dataset(tmp_path / "other")) == 2
        shutil.rmtree(tmp_path / "other")


def test_coco_without_sizes_reads_them_from_the_pictures(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_object(1)], images=1)
    data = json.loads(path.read_text())
    del data["images"][0]["height"], data["images"][0]["width"]
    path.write_text(json.dumps(data))
    assert open_dataset(path).size(0) == (20, 30)


def test_voc(tmp_path: Path) -> None:
    write_voc(
        tmp_path / "set",
        {
            "b": voc_object("Motorbike", (3, 4, 12, 11), "<difficult>1</difficult>")
            + voc_object("car", (0, 0, 30, 20)),
            "a": "",
            "c": voc_object("car", (1.5, 2, 31, 21)),
        },
    )
    data = open_dataset(tmp_path / "set")
    assert data.image_ids == ["a", "b", "c"]
    assert data.classes == ("car", "motorcycle")
    assert data.category_ids == (1, 2)
    assert len(data.annotations(0)) == 0
    truth = data.annotations(1)
    assert truth.boxes.tolist() == [[2, 3, 12, 11], [0, 0, 30, 20]]
    assert truth.labels.tolist() == [1, 0]
    assert truth.difficult.tolist() == [True, False]
    assert not truth.has_mask.any()
    assert truth.masks.shape == (2, 20, 30)
    assert data.annotations(2).boxes.tolist() == [[0.5, 1, 30, 20]]


def test_voc_tolerates_missing_tags_and_pictures_without_xml(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "set", {"a": voc_object("car")})
    (folder / "Annotations" / "a.xml").write_text(voc_xml(voc_object("car"), size=""))
    write_image(folder / "JPEGImages" / "extra.png")
    data = open_dataset(folder)
    assert data.image_ids == ["a"]
    assert data.size(0) == (20, 30)
    assert len(open_images(folder)) == 2


def test_folder_of_xml_files_finds_its_pictures(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "set", {"a": voc_object("car"), "b": ""})
    shutil.copytree(folder / "JPEGImages", tmp_path / "fog" / "target")
    shutil.copytree(folder / "Annotations", tmp_path / "fog" / "target_annotations")
    data = open_dataset(tmp_path / "fog" / "target_annotations")
    assert [p.parent.name for p in data.paths] == ["target", "target"]
    assert open_images(tmp_path / "fog" / "target_annotations").paths == data.paths
    flat = tmp_path / "flat"
    shutil.copytree(folder / "JPEGImages", flat)
    shutil.copytree(folder / "Annotations", flat, dirs_exist_ok=True)
    assert open_dataset(flat).labelled


def test_plain_folder_and_single_image(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/a.PNG", ".hidden.png", ".cache/x.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    data = open_dataset(tmp_path)
    assert not data.labelled
    assert data.classes == ()
    assert data.image_ids == ["a.jpg", "b.png", "sub/a.PNG"]
    assert data.load(0).objects is None
    assert open_dataset(tmp_path / "b.png").image_ids == ["b"]
    with pytest.raises(UserError, match="no annotations"):
        data.annotations(0)


def test_linked_folders_are_followed_without_loops(tmp_path: Path) -> None:
    write_image(tmp_path / "real" / "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "set")
    assert [p.name for p in list_images(tmp_path / "set")] == ["a.png"]


def test_classes_meet_by_name_and_are_selected(tmp_path: Path) -> None:
    coco = write_coco(
        tmp_path / "coco", [coco_object(1, category=7), coco_object(2, image=2, category=3)]
    )
    voc = write_voc(tmp_path / "voc", {"a": voc_object("person") + voc_object("motorcycle")})
    both = open_dataset(coco, voc)
    assert both.classes == ("car", "motorcycle", "person")
    assert [both.annotations(i).labels.tolist() for i in range(3)] == [[1], [0], [2, 1]]
    assert both.image_ids == [1, 2, "a"]
    assert both.category_ids == (1, 2, 3)
    chosen = open_dataset(coco, voc, classes=["Person", "motorbike"])
    assert chosen.classes == ("person", "motorcycle")
    assert [chosen.annotations(i).labels.tolist() for i in range(3)] == [[1], [], [0, 1]]
    assert open_dataset(coco, classes=["motorbike"]).category_ids == (7,)
    again = both.choose(["Person", "motorbike"])
    assert [again.annotations(i).labels.tolist() for i in range(3)] == [[1], [], [0, 1]]
    assert open_dataset(coco).choose(["motorbike"]).category_ids == (7,)
    with pytest.raises(UserError, match=r"no zebra in the data; there is: car, motorcycle"):
        open_dataset(coco, classes=["zebra"])


def test_masks_survive_selection_and_joining(tmp_path: Path) -> None:
    mask = {"size": [20, 30], "counts": counts_of(blob())}
    a = write_coco(
        tmp_path / "a", [coco_object(1, category=7), coco_object(2, category=3, segmentation=mask)]
    )
    b = write_coco(
        tmp_path / "b",
        [coco_object(1, image=2, category=3, segmentation=mask), coco_object(2, category=3)],
    )
    data = open_dataset(a, b, classes=["car"])
    assert data.image_ids == [1, 2, 3, 4]
    assert data.category_ids == (3,)
    for index in (0, 3):
        truth = data.annotations(index)
        assert truth.has_mask.tolist() == [True]
        assert np.array_equal(truth.masks[0].numpy(), blob())
    assert data.annotations(2).has_mask.tolist() == [False]


def test_invalid_objects_are_dropped_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_coco(
        tmp_path, [coco_object(1, bbox=(2, 3, 0, 8)), coco_object(2), coco_object(3, category=99)]
    )
    data = open_dataset(path, drop_invalid=True)
    assert len(data.annotations(0)) == 1
    assert len(caplog.records) == 1
    assert "1 × box, 1 × category" in caplog.text


def _ids(data: Dataset) -> list[tuple[str, int | str]]:
    return [(str(p), i) for p, i in zip(data.paths, data.image_ids, strict=True)]


def test_target_images_do_not_hang_on_annotations(tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc", {"b": voc_object("car"), "a": "", "c": voc_object("bus")})
    coco = write_coco(tmp_path / "coco", [coco_object(1, image=2)]).parent
    before = [_ids(open_images(path)) for path in (voc, coco)]
    assert [image_id for _, image_id in before[0]] == ["a", "b", "c"]
    for xml in (voc / "Annotations").iterdir():
        xml.write_text("not XML")
    (coco / "instances.json").write_text("not JSON")
    assert [_ids(open_images(path)) for path in (voc, coco)] == before
    shutil.rmtree(voc / "Annotations")
    (coco / "instances.json").unlink()
    assert [_ids(open_images(path)) for path in (voc, coco)] == before


def test_target_list_of_a_coco_json_ignores_its_annotations(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_object(1, image=2)])
    before = open_images(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({"images": data["images"], "annotations": "nonsense"}))
    assert _ids(open_images(path)) == _ids(before)
    assert not before.labelled
    assert before.load(0).objects is None


def test_without_labels_holds_none(tmp_path: Path) -> None:
    data = open_dataset(write_coco(tmp_path, [coco_object(1)]))
    bare = data.without_labels()
    assert not bare.labelled
    assert bare.classes == ()
    assert bare.load(0).objects is None
    assert data.labelled
    with pytest.raises(UserError, match="no annotations"):
        bare.annotations(0)


def test_pickles(tmp_path: Path) -> None:
    data = open_dataset(
        write_coco(tmp_path, [coco_object(1, segmentation=[[4, 5, 14, 5, 14, 12]])])
    )
    copy = pickle.loads(pickle.dumps(data))
    assert copy.classes == data.classes
    assert torch.equal(copy.annotations(0).masks, data.annotations(0).masks)
