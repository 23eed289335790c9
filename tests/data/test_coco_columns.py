"""All annotations at once give what they give one by one, also where something is the matter."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import damaged_value
from data_files import coco_object, write_coco

from dmaskrcnn.data import coco, coco_columns
from dmaskrcnn.data.coco import read_coco
from dmaskrcnn.data.json_parts import parse_in_parts
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.errors import UserError

SQUARE = [2, 3, 12, 3, 12.5, 11, 2, 11]


def polygon(chance: random.Random) -> list[float]:
    """Around a point of a picture of 20 x 30, of any size: tiny, thin, larger than the picture."""
    x, y, w, h = (
        chance.uniform(0, 30),
        chance.uniform(0, 20),
        *(chance.choice((0.2, 2, 9, 30)),) * 2,
    )
    corners = [(x, y), (x + w, y), (x + w, y + h * chance.random()), (x, y + h)]
    return [round(value, 2) for corner in corners for value in corner]


def objects(chance: random.Random) -> list[dict[str, Any]]:
    made = []
    for number in range(60):
        masks = [polygon(chance) for _ in range(chance.choice((0, 1, 1, 1, 2)))]
        points = np.array(masks[0] if masks else SQUARE).reshape(-1, 2)
        (x0, y0), (x1, y1) = points.min(0), points.max(0)
        box = [x0, y0, x1 - x0, y1 - y0] if chance.random() < 0.8 else [x0, y0, x1, y1]
        fields = {"segmentation": masks} if masks or chance.random() < 0.5 else {}
        image, category = chance.choice((1, 2, 9)), chance.choice((3, 7, 8))
        made.append(coco_object(number, image, category, map(float, box), **fields))
    return made


def spoilt(chance: random.Random, entries: list[dict[str, Any]]) -> list[Any]:
    entries = copy.deepcopy(entries)
    for place in chance.sample(range(len(entries)), 12):
        if chance.random() < 0.2:
            entries[place] = damaged_value(chance, entries[place])
        else:
            field = chance.choice(list(entries[place]))
            entries[place][field] = damaged_value(chance, entries[place][field])
    return entries


def told(part: Part) -> dict[str, Any]:
    table = part.objects
    assert table is not None
    return {
        "boxes": table.boxes.tolist(),
        "labels": table.labels.tolist(),
        "first": table.first.tolist(),
        "crowd": table.crowd.tolist(),
        "masks": [table.segmentation(row) for row in range(len(table.labels))],
        "problems": list(map(str, part.problems)),
        "notes": list(map(str, part.notes)),
        "classes": part.classes,
        "ids": part.category_ids,
    }


@pytest.mark.parametrize("seed", range(12))
def test_as_one_by_one(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch):
    chance = random.Random(seed)
    entries = objects(chance)
    path = write_coco(tmp_path, spoilt(chance, entries) if seed % 3 else entries)
    at_once = told(read_coco(path))
    monkeypatch.setattr(coco, "_LARGE", 0)
    in_parts = told(read_coco(path))
    monkeypatch.setattr(coco_columns, "_is_plain", lambda entry: False)
    one_by_one = told(read_coco(path))
    assert at_once == one_by_one
    assert in_parts == one_by_one


def test_most_are_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_coco(
        tmp_path,
        [coco_object(1, segmentation=[SQUARE]), coco_object(2, 2, 7), coco_object(3, 1, 7)],
    )
    monkeypatch.setattr(coco, "read_object", None)
    table = read_coco(path).objects
    assert table is not None
    assert [table.segmentation(row) for row in range(3)] == [[SQUARE], None, None]


CONTENT = {
    "info": {"annotations": [{"no": 1}]},
    "images": [{"id": 1}],
    "annotations": [{"id": n, "text": "}, {", "in": {"x": [1, "]"]}} for n in range(50)],
    "categories": [{"id": 2}, {"id": 3}],
}


@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n ", " : ")])
@pytest.mark.parametrize("part", [1 << 20, 600])
@pytest.mark.parametrize("last", [False, True])
def test_in_parts(separators: tuple[str, str], part: int, last: bool):
    content = dict(sorted(CONTENT.items(), key=lambda item: last == (item[0] == "annotations")))
    for entry in content["annotations"]:
        entry["text"] = "plain"
    taken: list[list[Any]] = []
    data = json.dumps(content, separators=separators).encode()
    rest = parse_in_parts(data, "annotations", taken.append, part)
    assert rest == {key: value for key, value in content.items() if key != "annotations"}
    assert [entry for one in taken for entry in one] == content["annotations"]
    assert (len(taken) > 2) == (part == 600)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        '{"annotations": 3}',
        '{"annotations": []}',
        '{"annotations": [{"a": 1}, {"a"',
        '{"annotations": [{"a": 1}], "annotations": [{"a": 2}]}',
        '{"x": {"annotations": [{"a": 1}]}}',
        '{"annotations": [{"a": [{"b": 1}]}, {"a": 2}]}',
        '{"annotations": [{"a": "}, {"}, {"a": "}]"}]}',
    ],
)
def test_others_are_left_alone(text: str):
    assert parse_in_parts(text.encode(), "annotations", lambda part: None, 1) is None


def test_errors_of_a_large_file_are_those_of_a_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_coco(tmp_path, [coco_object(1)])
    path.write_text(path.read_text()[:-30])
    monkeypatch.setattr(coco, "_LARGE", 0)
    with pytest.raises(UserError, match="not valid JSON"):
        read_coco(path)
