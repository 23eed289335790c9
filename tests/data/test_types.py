"""Fields of another type are named, not bent into shape; names of files are found as written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import edited, voc_object, voc_xml, write_image, write_voc

from dmaskrcnn.data import open_dataset
from dmaskrcnn.data.values import identifier, number, numbers, too_large
from dmaskrcnn.errors import UserError


def test_numbers_are_not_guessed() -> None:
    assert [number(v) for v in (1, 2.5, "3", " -4.5e1 ")] == [1, 2.5, 3, -45]
    for value in (True, None, "", "1_0", "0x1", "١", "nan", "inf", [1], {}, b"1"):
        assert number(value) is None, value
    assert number(10**400) == float("inf")
    assert numbers(["1", 2], 2) == [1, 2]
    assert numbers("12", 2) is None
    assert numbers({1: 1, 2: 2}, 2) is None


def test_ids_are_integers_or_text() -> None:
    assert [identifier(v) for v in (0, 1.0, "a", "01")] == [0, 1, "a", "01"]
    for value in (True, None, "", " ", 1.5, float("nan"), float("inf"), 10**20, [1], {}):
        assert identifier(value) is None, value
    assert [bool(too_large(v)) for v in (2**53, -(10**400), 1e300)] == [True] * 3
    for value in (2**53 - 1, True, None, "9" * 20, 1.5, float("nan"), float("inf"), [2**60]):
        assert not too_large(value), value


Edit = tuple[Callable[[dict[str, Any]], object], str]


def of_object(field: str, value: Any, expected: str) -> Edit:
    return lambda d: d["annotations"][0].update({field: value}), f"annotations[id=11].{expected}"


def of_image(field: str, value: Any, expected: str) -> Edit:
    return lambda d: d["images"][0].update({field: value}), f"{expected}"


def of_category(field: str, value: Any, expected: str) -> Edit:
    return lambda d: d["categories"][0].update({field: value}), f"categories[0]: {expected}"


BAD: dict[str, Edit] = {
    "box as text": of_object("bbox", "1234", "bbox: is '1234', not [x, y"),
    "box as object": of_object("bbox", {"x": 1, "y": 2, "w": 3, "h": 4}, "bbox: is {'x': 1"),
    "box of booleans": of_object("bbox", [True, True, 5, 5], "bbox: is [True"),
    "box of lists": of_object("bbox", [[1, 2], [3, 4], 5, 6], "bbox: is [[1, 2]"),
    "box of five": of_object("bbox", [1, 2, 3, 4, 5], "bbox: is [1, 2, 3, 4, 5]"),
    "huge box": of_object("bbox", [1, 2, 10**400, 4], "bbox: the box is not finite"),
    "large box": of_object("bbox", [1, 2, 1e308, 1e308], "bbox: the box [1, 2, 1e+308"),
    "image id as text": of_object("image_id", "1", "image_id: no image has the id '1', but 1"),
    "image id true": of_object("image_id", True, "image_id: no image has the id True"),
    "no image id": of_object("image_id", None, "image_id: no image has the id missing"),
    "category as text": of_object("category_id", "3", "category_id: no category has the id '3'"),
    "category as object": of_object("category_id", {"id": 3}, "category_id: no category"),
    "name as number": of_image("file_name", 5, "images[0].file_name: is 5, not a name"),
    "name as list": of_image("file_name", ["a"], "images[0].file_name: is ['a']"),
    "id true": of_image("id", True, "images[0].id: is True, not an integer or text"),
    "id too large": of_image("id", 2**62, f"images[0].id: is {2**62}, too large (above 2^53"),
    "image id too large": of_object(
        "image_id", 2**62, f"image_id: no image has the id {2**62}, which is too l"
    ),
    "class id too large": of_category("id", 2**62, f"has no usable 'id': it is {2**62}, too large"),
    "id 1.5": of_image("id", 1.5, "images[0].id: is 1.5"),
    "width as words": of_image("width", "wide", "images[id=1].width: is 'wide'"),
    "width true": of_image("width", True, "images[id=1].width: is True"),
    "width negative": of_image("width", -30, "images[id=1].width: is -30"),
    "height not finite": of_image("height", float("nan"), "images[id=1].height: is nan"),
    "height with a half": of_image("height", 20.5, "images[id=1].height: is 20.5"),
    "height huge": of_image("height", 10**30, "images[id=1].height: is 1000"),
    "class as number": of_category("name", 7, "has no usable 'name': it is 7"),
    "class of spaces": of_category("name", " _ ", "has no usable 'name'"),
    "class id true": of_category("id", True, "has no usable 'id': it is True"),
    "image as text": (lambda d: d["images"].append("x"), "images[2]: is not an object"),
    "annotation as list": (lambda d: d["annotations"].append([1]), "annotations[1]: is [1]"),
    "name that is no path": of_image("file_name", "a\0b", r"'a\x00b' is neither"),
    "name too long": of_image("file_name", "a" * 5000, "is neither"),
    "lone surrogate": of_image("file_name", "\ud800.png", r"'\ud800.png' is neither"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_types(tmp_path: Path, case: str) -> None:
    edit, expected = BAD[case]
    path = edited(tmp_path, edit)
    with pytest.raises(UserError) as error:
        open_dataset(path)
    message = str(error.value)
    assert f"{path}: {expected}" in message or expected in message
    assert "\n" not in message
    assert "\0" not in message
    assert len(message) < 500
    open_dataset(path, drop_invalid=True)


def test_unhashable_supercategory(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda d: d["categories"][0].update(supercategory=[{}]))
    assert len(open_dataset(path).classes) == 2


def test_what_is_clear_is_read(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["images"][0].update(id=1.0, width="30", height=20.0)
        data["annotations"][0].update(image_id=1, bbox=["2", "3", 10, 8.0], category_id=3.0)

    data = open_dataset(edited(tmp_path, edit))
    assert data.image_ids == [1, 2]
    assert isinstance(data.image_ids[0], int)
    assert data.size(0) == (20, 30)
    assert data.annotations(0).boxes.tolist() == [[2, 3, 12, 11]]
    assert [note.kind for note in data.notes] == ["text"]


def test_text_ids_meet_text_ids(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["images"][0]["id"] = data["annotations"][0]["image_id"] = "frame 1"

    assert len(open_dataset(edited(tmp_path, edit)).annotations(0)) == 1


@pytest.mark.parametrize("name", ["images\\001.png", ".\\images\\001.png"])
def test_names_of_windows(tmp_path: Path, name: str) -> None:
    path = edited(tmp_path, lambda d: d["images"][0].update(file_name=name))
    assert open_dataset(path).paths[0].samefile(tmp_path / "images" / "001.png")


def test_names_looked_for_are_shown(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["images"] = [{"id": 1, "file_name": "C:\\photos\\a.png"}]

    with pytest.raises(UserError, match=r"none of its 1 images found, such as 'C:.*photos.*a.png'"):
        open_dataset(edited(tmp_path, edit))


BAD_VOC = {
    "underscore": (voc_object("car", ("1_0", 5, 20, 9)), "object 1.bndbox: xmin"),
    "infinite": (voc_object("car", ("1e999", 5, 20, 9)), "object 1.bndbox"),
    "nested": (voc_object("car", ("<b>1</b>", 5, 20, 9)), "object 1.bndbox"),
}


@pytest.mark.parametrize("case", BAD_VOC)
def test_bad_types_of_voc(tmp_path: Path, case: str) -> None:
    text, expected = BAD_VOC[case]
    with pytest.raises(UserError, match=expected):
        open_dataset(write_voc(tmp_path / "set", {"a": text}))


@pytest.mark.parametrize("width", ["wide", "-3", "1e400", "30.5"])
def test_bad_size_of_voc(tmp_path: Path, width: str) -> None:
    folder = write_voc(tmp_path / "set", {"a": "", "b": ""})
    size = f"<size><width>{width}</width><height>20</height></size>"
    (folder / "Annotations" / "a.xml").write_text(voc_xml("", size))
    with pytest.raises(UserError, match=r"a\.xml: size: width is '"):
        open_dataset(folder)


def test_voc_annotations_lie_as_deep_as_the_pictures(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "set", {"c": voc_object("bus")})
    for day, name in (("monday", "car"), ("tuesday", "person")):
        write_image(folder / "JPEGImages" / day / "a.png")
        (folder / "Annotations" / day).mkdir()
        (folder / "Annotations" / day / "a.xml").write_text(voc_xml(voc_object(name)))
    data = open_dataset(folder)
    assert data.image_ids == ["c", "monday/a", "tuesday/a"] or len(data) == 3
    labels = [data.classes[data.annotations(i).labels[0]] for i in range(3)]
    assert labels == ["bus", "car", "person"]
    # pictures in folders, annotations in one: by name, where that is clear
    shutil.move(folder / "Annotations" / "monday" / "a.xml", folder / "Annotations" / "d.xml")
    (folder / "JPEGImages" / "monday" / "a.png").rename(folder / "JPEGImages" / "monday" / "d.png")
    assert len(open_dataset(folder)) == 3


@pytest.mark.parametrize("other", ["dehazed", "JPEGs"])  # before the picture of its own, and after
def test_no_picture_takes_the_voc_annotation_of_another(tmp_path: Path, other: str) -> None:
    folder = write_voc(tmp_path / "set", {"Z": voc_object("car")})
    write_image(folder / "JPEGImages" / other / "Z.png", seed=1)
    data = open_dataset(folder)
    assert data.paths == [folder / "JPEGImages" / "Z.png"]
    assert [note.file.parent.name for note in data.notes] == [other]
    (folder / "JPEGImages" / "Z.png").unlink()
    assert open_dataset(folder).paths == [folder / "JPEGImages" / other / "Z.png"]
    write_image(folder / "JPEGImages" / "third" / "Z.png", seed=2)
    said = rf"Annotations/Z\.xml: may be of .*/{other}/Z\.png or of .*/third/Z\.png; put it into"
    with pytest.raises(UserError, match=said):
        open_dataset(folder)
