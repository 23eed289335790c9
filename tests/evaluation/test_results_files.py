"""Which picture and which class an entry of a results file is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.odd_results import check_classes
from dmaskrcnn.evaluation.results_json import load_results

ONE = {"category_name": "car", "bbox": [1, 2, 10, 4.5], "score": 0.5, "file_name": "b\\x.png"}
BY_ID = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 4.5], "score": 0.5}


def found(folder: Path, content: Any) -> list[int]:
    """How many detections each of two pictures has, both named ``x.png``."""
    path = folder / "other.json"
    path.write_text(json.dumps(content))
    paths = [folder / "a" / "x.png", folder / "b" / "x.png"]
    return [len(d) for d in load_results(path, [1, 2], {"car": 3, "person": 1}, paths=paths)]


def test_pictures_by_name(tmp_path: Path) -> None:
    assert found(tmp_path, [ONE]) == [0, 1]
    images = [{"id": 1, "file_name": "b/x.png"}, {"id": 7, "file_name": "a/x.png"}]
    # the ids of another file about the same pictures
    assert found(tmp_path, {"images": images, "annotations": [BY_ID]}) == [0, 1]
    for name, message in (("x.png", "may be several"), ("y.png", "is not in"), (3, "not text")):
        with pytest.raises(UserError, match=message):
            found(tmp_path, [ONE | {"file_name": name}])
    with pytest.raises(UserError, match="not in the file's own images"):
        found(tmp_path, {"images": images, "annotations": [BY_ID | {"image_id": 9}]})


@pytest.mark.parametrize("unknown", ["x", 9, 2**60, None])
def test_the_name_decides_where_the_id_is_unknown(tmp_path: Path, unknown: Any) -> None:
    both = ONE | {"image_id": unknown}
    assert found(tmp_path, [both]) == [0, 1]
    images = [{"id": 1, "file_name": "a/x.png"}]
    assert found(tmp_path, {"images": images, "annotations": [both]}) == [0, 1]
    with pytest.raises(UserError, match="entry 0: image_id"):
        found(tmp_path, [both | {"file_name": None}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([BY_ID | {"image_id": 2**60}], "entry 0: image_id is 11529.*; too large .*: text works"),
        ([BY_ID | {"category_id": 2**60}], "category_id is .*; too large .*, as category_name"),
        (
            {"detections": [BY_ID], "categories": [{"id": 2**60, "name": "car"}]},
            r"categories\[0\]: the id 1152921504606846976 is too large",
        ),
    ],
)
def test_ids_that_are_too_large(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        found(tmp_path, content)


def test_an_id_and_a_name_must_agree(tmp_path: Path) -> None:
    for name in ("a/x.png", "x.png", "z.png", None):  # z.png: nobody knows better than the id
        assert found(tmp_path, [ONE | {"image_id": 1, "file_name": name}]) == [1, 0]
    said = (
        r"entry 0: image_id 1 is .*/a/x\.png, but file_name 'b.*x\.png' is .*/b/x\.png; leave out"
    )
    with pytest.raises(UserError, match=said):
        found(tmp_path, [ONE | {"image_id": 1}])
    images = [{"id": 7, "file_name": "a/x.png"}]
    with pytest.raises(UserError, match=r"image_id 7 is .*/a/x\.png, but file_name"):
        found(tmp_path, {"images": images, "annotations": [ONE | {"image_id": 7}]})


def of_one(folder: Path, *names: str, partly: bool = False, **content: Any) -> int:
    """How many detections of pictures of these names the only one gets, ``cam1/0.png``."""
    entries = [ONE | {"file_name": name} for name in names]
    path, picture = folder / "other.json", [folder / "cam1" / "0.png"]
    path.write_text(json.dumps({"detections": entries, **content}))
    return len(load_results(path, [1], {"car": 3}, paths=picture, partly=partly)[0])


@pytest.mark.parametrize("names", [("cam1/0.png", "cam2/0.png"), ("cam2/0.png", "cam1/0.png")])
def test_pictures_of_one_name_are_not_joined(
    tmp_path: Path, names: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        UserError, match=r"'cam2/0\.png' is not in the data set, only 'cam1/0\.png'"
    ):
        of_one(tmp_path, *names)
    assert of_one(tmp_path, *names, partly=True) == 1
    assert "1 of 2 detections are left out" in caplog.text
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    with pytest.raises(UserError, match="is not in the data set, only"):
        of_one(tmp_path, "cam2/0.png", images=images)


def test_folders_that_say_nothing(tmp_path: Path) -> None:
    assert of_one(tmp_path, "foggy/0.png") == 1  # moved, dehazed, …
    with pytest.raises(
        UserError, match=r"'a/0.png' may be .*cam1/0.png, but so may 'b/0.png'; name"
    ):
        of_one(tmp_path, "a/0.png", "b/0.png", partly=True)


def test_spellings_of_one_path_are_one_name(tmp_path: Path) -> None:
    whole = str(tmp_path / "cam1" / "0.png")
    assert of_one(tmp_path, "0.png", whole, "cam1\\0.png", "../cam1/0.png", "./cam1/0.png") == 5


def test_two_ids_of_one_name_are_two_pictures(tmp_path: Path) -> None:
    path, picture = tmp_path / "other.json", [tmp_path / "cam1" / "0.png"]
    path.write_text(json.dumps([ONE | {"file_name": "0.png", "image_id": i} for i in (8, 9)]))
    with pytest.raises(UserError, match=r"entry 1: .*'0.png' has the image_id 9 here and 8 before"):
        load_results(path, [1], {"car": 3}, paths=picture)


def test_classes_of_which_the_test_set_has_none() -> None:
    said = (
        "no detection is of a class of the test set: they are 0, LABEL_1, it has car, person; give"
    )
    with pytest.raises(UserError, match=f"r.json: {said}"):
        check_classes(Path("r.json"), {"LABEL_1", "0"}, ["person", "car"])
    check_classes(Path("r.json"), {"LABEL_1", "car"}, ["person", "car"])
    check_classes(Path("r.json"), (), ["car"])
