"""Bad input gives one clear line; `inspect` lists all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import (
    coco_object,
    compressed,
    edited,
    voc_object,
    voc_xml,
    write_coco,
    write_image,
    write_voc,
)

from dmaskrcnn.data import inspect, open_dataset, open_images
from dmaskrcnn.errors import UserError


def one_line(error: pytest.ExceptionInfo[UserError], *fragments: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


BAD_BOXES = {
    "zero": ([2, 3, 0, 8], "no area"),
    "inverted": ([9, 3, -4, 8], "inverted"),
    "nan": ([float("nan"), 3, 4, 8], "not finite"),
    "infinite": ([2, 3, float("inf"), 8], "not finite"),
    "outside": ([40, 3, 5, 5], "outside"),
    "reaching out": ([25, 3, 9, 5], "outside"),
    "touching": ([30, 3, 1.5, 5], "outside"),
    "three numbers": ([1, 2, 3], "[x, y, width, height]"),
    "text": ("abcd", "[x, y, width, height]"),
    "missing": (None, "[x, y, width, height]"),
}


@pytest.mark.parametrize("case", BAD_BOXES)
def test_bad_coco_boxes(tmp_path: Path, case: str) -> None:
    bbox, reason = BAD_BOXES[case]
    path = write_coco(tmp_path, [{**coco_object(11), "bbox": bbox}, coco_object(12)])
    with pytest.raises(UserError) as error:
        open_dataset(path)
    one_line(error, str(path), "annotations[id=11].bbox", reason, "--drop-invalid")
    assert len(open_dataset(path, drop_invalid=True).annotations(0)) == 1


def test_boxes_that_barely_reach_out_are_clipped(tmp_path: Path) -> None:
    data = open_dataset(write_coco(tmp_path, [coco_object(1, bbox=(-1.5, -0.2, 33, 21))]))
    assert data.annotations(0).boxes.tolist() == [[0, 0, 30, 20]]


BAD_MASKS = {
    "size": ({"size": [30, 20], "counts": [600]}, "size"),
    "runs": ({"size": [20, 30], "counts": [10, 10]}, "cover 20 pixels"),
    "negative": ({"size": [20, 30], "counts": [-10, 610]}, "counts"),
    "no counts": ({"size": [20, 30]}, "counts"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "x, y pairs"),
    "nan": ([[1, 2, 3, 4, 5, float("nan")]], "finite"),
    "far": ([[1, 2, 3, 4, 5, 1e12]], "far outside"),
    "huge": ([[1, 2, 3, 4, 5, 10**400]], "finite"),
    "lists": ([[[1, 2], [3, 4]], [[1, 2], 3]], "x, y pairs"),
    "text": ("abc", "neither"),
    "flat": ([1, 2, 3, 4, 5, 6], "neither"),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_masks(tmp_path: Path, case: str) -> None:
    segmentation, reason = BAD_MASKS[case]
    path = write_coco(tmp_path, [coco_object(11, segmentation=segmentation)])
    with pytest.raises(UserError) as error:
        open_dataset(path)
    one_line(error, str(path), "annotations[id=11].segmentation", reason)


@pytest.mark.parametrize("counts", ["zzzzzzzz", "abc", compressed([10, 10]), "\x00\x01"])
def test_compressed_rle_that_cannot_be_decoded(tmp_path: Path, counts: str) -> None:
    path = write_coco(
        tmp_path, [coco_object(11, segmentation={"size": [20, 30], "counts": counts})]
    )
    with pytest.raises(UserError) as error:
        open_dataset(path).load(0)
    one_line(error, str(tmp_path), "mask")
    assert [p.kind for p in inspect(path).problems] == ["mask"]


BAD_COCO: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "category": (
        lambda d: d["annotations"][0].update(category_id=99),
        "annotations[id=11].category_id: no category has the id 99",
    ),
    "image": (
        lambda d: d["annotations"][0].update(image_id=99),
        "annotations[id=11].image_id: no image has the id 99",
    ),
    "list as id": (lambda d: d["annotations"][0].update(image_id=[1]), "no image has the id [1]"),
    "file": (
        lambda d: d["images"][0].update(file_name="gone.png"),
        "images[id=1].file_name: 'gone.png'",
    ),
    "all files": (
        lambda d: [e.update(file_name="gone.png") for e in d["images"]],
        "none of its 2 images",
    ),
    "no name": (lambda d: d["images"][0].pop("file_name"), "images[0]"),
    "twice": (lambda d: d["images"][1].update(id=1), "occurs twice"),
    "no images": (lambda d: d.update(images=[]), "no image is listed"),
    "no annotations": (lambda d: d.pop("annotations"), "not COCO: no list 'annotations'"),
    "no categories": (lambda d: d.pop("categories"), "not COCO: no list 'categories'"),
    "text as annotation": (lambda d: d["annotations"].append("x"), "annotations[1]"),
    "category twice": (lambda d: d["categories"][1].update(id=3), "categories[id=3]"),
}


@pytest.mark.parametrize("case", BAD_COCO)
def test_bad_coco(tmp_path: Path, case: str) -> None:
    edit, fragment = BAD_COCO[case]
    path = edited(tmp_path, edit)
    with pytest.raises(UserError) as error:
        open_dataset(path)
    one_line(error, str(path), fragment)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "3", '{"a": [', "\x00", "[" * 100_000, '{"images": 3}']
)
def test_json_that_is_not_coco(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    for opening in (open_dataset, open_images):
        with pytest.raises(UserError) as error:
            opening(path)
        one_line(error, str(path))


ENTITIES = '<!DOCTYPE annotation [<!ENTITY a "bbbbbbbbbb"><!ENTITY c "&a;&a;&a;">]>'
BAD_XML = {
    "entities": (ENTITIES + voc_xml(voc_object("&c;")), "entities"),
    "external": (
        '<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        + voc_xml(voc_object("&a;")),
        "entities",
    ),
    "broken": ("<annotation><object>", "not valid XML"),
    "other": ("<html/>", "not Pascal VOC"),
    "empty": ("", "not valid XML"),
    "zero": (voc_xml(voc_object("car", (5, 5, 5, 9))), "no area"),
    "inverted": (voc_xml(voc_object("car", (9, 5, 5, 9))), "inverted"),
    "nan": (voc_xml(voc_object("car", ("nan", 5, 8, 9))), "four numbers"),
    "outside": (voc_xml(voc_object("car", (5, 5, 80, 9))), "outside"),
    "no number": (voc_xml(voc_object("car", ("x", 5, 8, 9))), "four numbers"),
    "no box": (voc_xml("<object><name>car</name></object>"), "four numbers"),
    "no name": (voc_xml(voc_object("")), "name"),
    "size": (
        voc_xml(voc_object("car"), "<size><width>300</width><height>200</height></size>"),
        "says 300x200",
    ),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_bad_voc(tmp_path: Path, case: str) -> None:
    text, fragment = BAD_XML[case]
    folder = write_voc(tmp_path / "set", {"a": "", "b": voc_object("car")})
    file = folder / "Annotations" / "a.xml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        open_dataset(folder)
    one_line(error, str(file), fragment, "--drop-invalid")
    assert open_dataset(folder, drop_invalid=True).classes == ("car",)


def test_voc_annotation_without_its_picture(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "set", {"a": "", "b": voc_object("car")})
    (folder / "JPEGImages" / "a.png").unlink()
    with pytest.raises(UserError) as error:
        open_dataset(folder)
    one_line(error, "a.xml", "JPEGImages")
    (folder / "JPEGImages" / "b.png").unlink()
    with pytest.raises(UserError):
        open_dataset(folder)


def test_missing_empty_and_ambiguous_paths(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_coco(tmp_path / "two", [], name="train.json")
    write_coco(tmp_path / "two", [], name="val.json")
    (tmp_path / "text.txt").write_text("x")
    for name, fragment in (
        ("gone", "no such file or folder"),
        ("empty", "no picture"),
        ("two", "train.json, val.json"),
        ("text.txt", "neither"),
    ):
        with pytest.raises(UserError) as error:
            open_dataset(tmp_path / name)
        one_line(error, str(tmp_path / name), fragment)
    with pytest.raises(UserError, match="no path"):
        open_dataset()
    write_image(tmp_path / "plain" / "a.png")
    with pytest.raises(UserError, match="do not mix"):
        open_dataset(tmp_path / "plain", tmp_path / "two" / "train.json")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("keep", [0, 40, 0.6])
def test_truncated_picture(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(path, 64, 64)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError) as error:
        open_dataset(path).load(0)
    one_line(error, str(path), "cannot read the picture")
    assert [p.kind for p in inspect(path).problems] == ["unreadable"]


def test_picture_of_another_size_than_stated(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_object(1)])
    write_image(tmp_path / "images" / "001.png", 40, 50)
    with pytest.raises(UserError) as error:
        open_dataset(path).load(0)
    one_line(error, "001.png", "50x40", "30x20")


def test_inspect_lists_everything(tmp_path: Path) -> None:
    objects = [coco_object(i, bbox=(1, 1, 0, 0)) for i in range(7)]
    objects += [
        coco_object(20),
        coco_object(21),
        coco_object(22, category=99),
        coco_object(23, category=7),
    ]
    path = write_coco(tmp_path, objects, images=4)
    data = json.loads(path.read_text())
    data["images"].append({"id": 9, "file_name": "gone.png"})
    path.write_text(json.dumps(data))
    images = tmp_path / "images"
    (images / "003.png").write_bytes((images / "002.png").read_bytes())
    (images / "004.png").write_bytes(b"no picture")
    write_image(images / "extra.png")
    found = inspect(path)
    assert (found.format, found.images, found.labelled, found.negatives) == (
        "COCO JSON",
        4,
        True,
        3,
    )
    assert list(found.classes["car"].values()) == [2, 1, 0, 0, 0, 2]
    assert found.classes["motorcycle"]["boxes"] == 1
    kinds = [p.kind for p in found.problems]
    assert sorted(kinds) == sorted(["box"] * 7 + ["category", "missing image", "unreadable"])
    assert sorted(p.kind for p in found.notes) == [
        "duplicate image",
        "duplicate object",
        "not annotated",
    ]
    text = str(found)
    assert "… and 2 more" in text
    assert "annotations[id=6].bbox" not in text
    assert "annotations[id=6].bbox" in found.format_text(show_all=True)
    assert "problems: 10" in text


def test_inspect_voc_and_plain_folder(tmp_path: Path) -> None:
    folder = write_voc(
        tmp_path / "set", {"a": voc_object("car", extra="<difficult>1</difficult>"), "b": ""}
    )
    write_image(folder / "JPEGImages" / "extra.png", seed=9)
    found = inspect(folder)
    assert found.problems == []
    assert [p.kind for p in found.notes] == ["not annotated"]
    assert found.classes["car"]["difficult"] == 1
    plain = inspect(folder / "JPEGImages")
    assert not plain.labelled
    assert plain.heights.tolist() == [20, 20, 20]
    assert "without labels" in str(plain)
    assert "problems: none" in str(plain)
