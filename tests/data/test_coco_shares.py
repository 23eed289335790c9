"""Boxes of a COCO JSON that are shares of the picture, where pixels are meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_files import coco_object, write_coco

from dmaskrcnn.data import coco_columns, inspect, open_dataset
from dmaskrcnn.errors import UserError

SHARES = [0.1, 0.2, 0.5, 0.8]
POLYGON = [[0.1, 0.2, 0.6, 0.2, 0.6, 1, 0.1, 1]]


@pytest.mark.parametrize("fields", [{}, {"segmentation": POLYGON}, {"iscrowd": "0"}])
@pytest.mark.parametrize("plain", [True, False])
def test_shares(
    tmp_path: Path, fields: dict[str, Any], plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not plain:
        monkeypatch.setattr(coco_columns, "_is_plain", lambda entry: False)
    objects = [coco_object(i, bbox=SHARES, **fields) for i in range(3)]
    path = write_coco(tmp_path, [*objects, coco_object(4, bbox=(0, 0, 0, 0))])
    with pytest.raises(UserError) as error:
        open_dataset(path)
    message = str(error.value)
    assert f"{path}: annotations: all boxes (3) lie within one pixel" in message
    assert "[0.1, 0.2, 0.5, 0.8]; are these shares of the picture?" in message
    assert "\n" not in message
    found = inspect(path)
    assert [problem.kind for problem in found.problems] == ["shares for pixels"]
    assert not any(counts["boxes"] for counts in found.classes.values())


@pytest.mark.parametrize("other", [(2, 3, 10, 8), (0, 0, 30, 20), (0, 0, 1, 2)])
def test_pixels(tmp_path: Path, other: Any) -> None:
    path = write_coco(tmp_path, [coco_object(1, bbox=SHARES), coco_object(2, bbox=other)])
    assert len(open_dataset(path).annotations(0)) == 2
    assert len(open_dataset(write_coco(tmp_path, [])).annotations(0)) == 0
