"""Which picture and which class an entry of a results file is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmaskrcnn.errors import UserError
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
    assert found(tmp_path, [ONE | {"image_id": 1}]) == [1, 0]  # one that is known decides
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
