"""Detections for people and for other programs: pictures, tables, files, and the way back."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from test_detections import CLASSES, make

import dmaskrcnn
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError

FIELDS = ("boxes", "labels", "scores", "masks")


def same(one: Detections, other: Detections) -> None:
    assert one.classes == other.classes
    for name in FIELDS:
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_save_draws_the_remembered_picture(tmp_path):
    found = make()
    with pytest.raises(UserError, match="remember none"):
        found.save(tmp_path / "a.png")
    picture = np.zeros((12, 20, 3), np.uint8)
    found.save(tmp_path / "given.png", picture)
    Image.fromarray(picture).save(tmp_path / "source.png")
    found.image = tmp_path / "source.png"
    found.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "given.png").read_bytes()
    with pytest.raises(UserError, match=r"name it \.jpg or \.png"):
        found.save(tmp_path / "a.txt")


def test_a_notebook_shows_a_picture_and_an_escaped_table(tmp_path):
    found = make()
    found.classes = ("<b>", "car", "truck")
    for image in (None, tmp_path / "gone.png", np.zeros((12, 20), np.uint8)):
        found.image = image
        html = found._repr_html_()
        assert 'src="data:image/jpeg;base64,' in html
        assert html.count("<tr>") == 4
        assert "&lt;b&gt;" in html
        assert "<b>" not in html
    many = found[torch.zeros(40, dtype=torch.int64)]
    assert "10 more" in many._repr_html_()
    assert "<table" not in Detections.empty(4, 4, CLASSES)._repr_html_()


def test_tables_and_text():
    assert json.loads(make().to_json()) == make().to_dict()
    table = make().to_pandas()
    assert list(table) == ["class", "score", "x1", "y1", "x2", "y2", "mask_area"]
    assert table["class"].tolist() == ["car", "person", "car"]
    assert table["mask_area"].tolist() == make().masks.sum((1, 2)).tolist()
    assert len(Detections.empty(4, 4, CLASSES).to_pandas()) == 0


def test_yolo_boxes():
    lines = make().to_yolo(scores=True).splitlines()
    assert lines[0] == f"1 {3 / 20:.6f} {5 / 12:.6f} {4 / 20:.6f} {6 / 12:.6f} 0.900000"
    assert Detections.empty(4, 4, CLASSES).to_yolo() == ""


def test_yolo_polygons_fill_the_masks_in_all_their_parts():
    mask = torch.zeros(1, 100, 100, dtype=torch.bool)
    mask[0, 10:50, 10:40] = mask[0, 60:90, 50:95] = True
    boxes, labels = torch.tensor([[10.0, 10, 95, 90]]), torch.tensor([2])
    found = Detections(boxes, labels, torch.tensor([0.9]), mask, CLASSES)
    label, *numbers = found.to_yolo(polygons=True).split()
    assert label == "2"
    drawn = Image.new("1", (1000, 1000))
    ImageDraw.Draw(drawn).polygon([1000 * float(n) for n in numbers], fill=1)
    expected = mask[0].numpy().repeat(10, 0).repeat(10, 1)
    both = np.asarray(drawn) & expected
    assert both.sum() / (np.asarray(drawn) | expected).sum() > 0.97
    found.masks = torch.zeros_like(mask)
    assert len(found.to_yolo(polygons=True).split()) == 1 + 8  # the box


@pytest.mark.parametrize("count", [0, 3])
def test_coco_there_and_back(count):
    ids = {name: 7 + place for place, name in enumerate(CLASSES)}
    results = make(count).to_coco(1, ids)
    same(Detections.from_coco(results[::-1], ids, (12, 20)), make(count))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"score": 2}, "score"),
        ({"category_id": 9}, "category_id 9"),
        ({"segmentation": {"size": [0, 1], "counts": ""}}, "segmentation"),
        ({"segmentation": None}, "size: unknown"),
    ],
)
def test_wrong_coco_is_refused(change, said):
    good = make(1).to_coco(1, {"car": 3})[0]
    with pytest.raises(UserError, match=said):
        Detections.from_coco([good | change], {"car": 3})
    with pytest.raises(UserError, match="several images"):
        Detections.from_coco([good, good | {"image_id": 2}], {"car": 3})


@pytest.mark.parametrize("count", [0, 3])
def test_supervision_there_and_back(count):
    pytest.importorskip("supervision", reason="needs dmaskrcnn[track]")
    found = make(count)
    same(Detections.from_supervision(found.to_supervision(), CLASSES, (12, 20)), found)
    if count:
        named = Detections.from_supervision(found.to_supervision())
        assert (named.classes, named.names) == (("person", "car"), found.names)


def test_supervision_without_names_or_masks():
    supervision = pytest.importorskip("supervision", reason="needs dmaskrcnn[track]")
    bare = supervision.Detections(np.array([[0.0, 0, 4, 4]]), class_id=np.array([1]))
    with pytest.raises(UserError, match="give classes"):
        Detections.from_supervision(bare)
    with pytest.raises(UserError, match="size"):
        Detections.from_supervision(bare, CLASSES)
    found = Detections.from_supervision(bare, CLASSES, (5, 6))
    assert (found.names, found.scores.tolist(), found.masks.any()) == (["car"], [1.0], False)


def test_pandas_missing_is_a_user_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        make().to_pandas()


def test_dir_shows_the_public_names():
    assert dir(dmaskrcnn) == sorted(dmaskrcnn.__all__)
    assert all(getattr(dmaskrcnn, name) is not None for name in dir(dmaskrcnn))
