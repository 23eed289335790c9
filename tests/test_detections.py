"""The result type: validation, selection and its conversions."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco_mask

from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError

CLASSES = ("person", "car", "truck")


def make(n: int = 3, height: int = 12, width: int = 20) -> Detections:
    boxes = torch.tensor([[1.0, 2.0, 5.0, 8.0], [3.5, 0.0, 20.0, 12.0], [0.0, 0.0, 2.0, 2.0]])[:n]
    masks = torch.zeros(n, height, width, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return Detections(
        boxes, torch.tensor([1, 0, 1])[:n], torch.tensor([0.9, 0.5, 0.2])[:n], masks, CLASSES
    )


def test_a_good_one_knows_its_size_and_names():
    found = make()
    assert (len(found), found.height, found.width) == (3, 12, 20)
    assert found.names == ["car", "person", "car"]
    assert repr(found) == "Detections(3 in 20×12: 2 car, 1 person)"
    assert make().classes == CLASSES


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boxes", torch.zeros(3, 5)),
        ("boxes", torch.zeros(3, 4, dtype=torch.float64)),
        ("boxes", torch.zeros(2, 4)),
        ("labels", torch.zeros(2, dtype=torch.int64)),
        ("labels", torch.zeros(3, dtype=torch.int32)),
        ("labels", torch.tensor([0, 1, 3])),
        ("labels", torch.tensor([0, -1, 1])),
        ("scores", torch.zeros(3, 1)),
        ("scores", torch.zeros(3, dtype=torch.int64)),
        ("masks", torch.zeros(3, 12, 20)),
        ("masks", torch.zeros(2, 12, 20, dtype=torch.bool)),
        ("masks", torch.zeros(3, 1, 12, 20, dtype=torch.bool)),
    ],
)
def test_wrong_fields_are_named(field, value):
    good = make()
    fields = {
        name: getattr(good, name) for name in ("boxes", "labels", "scores", "masks", "classes")
    } | {field: value}
    with pytest.raises(ValueError, match=r"boxes|labels|scores|masks") as caught:
        Detections(**fields)
    # the number of boxes sets what the others must have
    assert field in str(caught.value) or field == "boxes"


def test_empty_goes_through_everything():
    empty = Detections.empty(7, 9, CLASSES)
    assert (len(empty), empty.height, empty.width, empty.names) == (0, 7, 9, [])
    assert empty.boxes.shape == (0, 4)
    assert (
        len(empty.above(0.5))
        == len(empty[torch.zeros(0, dtype=torch.bool)])
        == len(empty.to("cpu"))
        == 0
    )
    assert empty.to_coco(1, {}) == []
    assert empty.to_dict() == {"width": 9, "height": 7, "detections": []}
    assert empty.draw(torch.zeros(3, 7, 9, dtype=torch.uint8)).size == (9, 7)
    assert repr(empty) == "Detections(0 in 9×7)"
    assert list(empty) == []


def test_above_keeps_the_threshold_itself():
    assert make().above(0.5).scores.tolist() == pytest.approx([0.9, 0.5])
    assert len(make().above(0.0)) == 3
    assert len(make().above(0.95)) == 0


@pytest.mark.parametrize(
    "keep", [torch.tensor([True, False, True]), torch.tensor([0, 2]), slice(0, None, 2)]
)
def test_selection(keep):
    part = make()[keep]
    assert part.boxes.tolist() == make().boxes[[0, 2]].tolist()
    assert part.labels.tolist() == [1, 1]
    assert torch.equal(part.masks, make().masks[[0, 2]])
    assert part.scores.tolist() == pytest.approx([0.9, 0.2])


def test_an_int_gives_one_object_and_iteration_ends():
    assert make()[-1].boxes.tolist() == [[0.0, 0.0, 2.0, 2.0]]
    assert make()[1].names == ["person"]
    assert [one.names for one in make()] == [["car"], ["person"], ["car"]]
    with pytest.raises(IndexError):
        make()[3]


def test_to_moves_every_tensor(monkeypatch):
    # the meta device has no values to validate
    monkeypatch.setattr(Detections, "__post_init__", lambda self: None)
    moved = make().to("meta")
    assert {t.device.type for t in (moved.boxes, moved.labels, moved.scores, moved.masks)} == {
        "meta"
    }


def test_coco_results():
    found = make()
    results = found.to_coco(42, {"person": 1, "car": 3})
    assert [r["category_id"] for r in results] == [3, 1, 3]
    assert {r["image_id"] for r in results} == {42}
    assert results[0]["bbox"] == [1.0, 2.0, 4.0, 6.0]
    assert results[1]["bbox"] == [3.5, 0.0, 16.5, 12.0]
    assert json.loads(json.dumps(results)) == results
    for result, mask in zip(results, found.masks, strict=True):
        assert isinstance(result["segmentation"]["counts"], str)
        assert result["segmentation"]["size"] == [12, 20]
        np.testing.assert_array_equal(
            coco_mask.decode(result["segmentation"]).astype(bool), mask.numpy()
        )


def test_run_lengths_are_column_by_column():
    # One True pixel at row 1, column 2 of a 4 × 5 image: 9 zeros, 1 one, 10 zeros; COCO packs 6-bit
    # characters from "0".
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    mask[0, 1, 2] = True
    one = Detections(
        torch.tensor([[2.0, 1, 3, 2]]), torch.tensor([0]), torch.tensor([1.0]), mask, ("dot",)
    )
    assert one.to_coco(1, {"dot": 7})[0]["segmentation"] == {"size": [4, 5], "counts": "91:"}


def test_coco_needs_an_id_for_every_detected_class():
    assert len(make()[:1].to_coco(1, {"car": 3})) == 1  # person and truck were not detected
    with pytest.raises(UserError, match="person"):
        make().to_coco(1, {"car": 3})


def test_dict_is_json_with_rounded_numbers():
    content = make().to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["detections"][0]["class"] == "car"
    assert content["detections"][0]["score"] == 0.9  # not float32's 0.8999999761581421
    assert content["detections"][1]["box"] == [3.5, 0.0, 20.0, 12.0]
    decoded = coco_mask.decode(content["detections"][2]["mask"])
    assert decoded.sum() == 4


def test_supervision_gets_the_fields(monkeypatch):
    stub = types.ModuleType("supervision")
    stub.Detections = lambda **fields: fields  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "supervision", stub)
    fields = make().to_supervision()
    assert fields["xyxy"].shape == (3, 4)
    assert fields["xyxy"].dtype == np.float32
    assert fields["mask"].dtype == bool
    assert fields["class_id"].tolist() == [1, 0, 1]
    assert fields["confidence"].tolist() == pytest.approx([0.9, 0.5, 0.2])
    assert fields["data"]["class_name"].tolist() == ["car", "person", "car"]


def test_supervision_missing_is_a_user_error(monkeypatch):
    # importing it now raises ModuleNotFoundError
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="pip install supervision"):
        make().to_supervision()
