"""The real data sets, counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dmaskrcnn.data import Dataset, inspect, open_dataset, open_images
from dmaskrcnn.errors import UserError

DATA = Path(__file__).parents[3] / "shared" / "data"
ROAD = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real images (../shared/data) are not here"),
]


def boxes_per_class(data: Dataset) -> dict[str, int]:
    assert data.objects is not None
    return dict(
        zip(
            data.classes,
            np.bincount(data.objects.labels, minlength=len(data.classes)).tolist(),
            strict=True,
        )
    )


def test_coco_mini() -> None:
    with pytest.raises(UserError, match=r"instances_train\.json, instances_val\.json"):
        open_dataset(DATA / "coco_mini")
    train = open_dataset(DATA / "coco_mini" / "instances_train.json")
    assert len(train) == 335
    assert train.classes == ROAD
    assert train.category_ids == (1, 2, 3, 4, 6, 8)
    assert boxes_per_class(train) == dict(zip(ROAD, (1096, 43, 189, 23, 37, 38), strict=True))
    assert train.objects is not None
    assert (train.objects.has_mask.sum(), train.objects.crowd.sum()) == (1426, 15)
    assert len(open_dataset(DATA / "coco_mini" / "instances_val.json")) == 77
    for index in range(0, 335, 40):
        sample = train.load(index)
        assert sample.objects is not None
        assert sample.objects.masks.shape[1:] == sample.image.shape[1:]
        for box, mask, crowd in zip(
            sample.objects.boxes, sample.objects.masks, sample.objects.crowd, strict=True
        ):
            if not crowd:
                y, x = mask.nonzero().unbind(1)
                assert abs(int(x.min()) - float(box[0])) < 3
                assert abs(int(y.max()) + 1 - float(box[3])) < 3


def test_highway() -> None:
    data = open_dataset(
        DATA / "coco_mini" / "instances_train.json", DATA / "highway" / "instances_train.json"
    )
    assert len(data) == 335 + 1207
    assert data.classes == ROAD
    assert data.category_ids == (1, 2, 3, 4, 6, 8)
    assert data.image_ids == list(range(1, 1543))
    assert boxes_per_class(data) == dict(zip(ROAD, (1717, 43, 807, 495, 424, 469), strict=True))
    assert not data.annotations(1000).has_mask.any()


def test_dawn_fog() -> None:
    test = open_dataset(DATA / "dawn_fog" / "test", classes=ROAD)
    assert len(test) == 63
    assert boxes_per_class(test) == dict(zip(ROAD, (32, 1, 414, 9, 12, 38), strict=True))
    assert len(open_images(DATA / "dawn_fog" / "test")) == 63
    target = open_images(DATA / "dawn_fog" / "target")
    assert len(target) == 156
    oracle = open_dataset(DATA / "dawn_fog" / "target_oracle_annotations", classes=ROAD)
    assert oracle.paths == target.paths
    assert boxes_per_class(oracle)["car"] == 777


def test_rtts_samples() -> None:
    found = inspect(DATA / "rtts_samples")
    assert (found.images, found.format, found.problems) == (5, "Pascal VOC", [])
    assert {name: counts["boxes"] for name, counts in found.classes.items()} == {
        "bicycle": 2,
        "bus": 2,
        "car": 25,
        "motorcycle": 3,
        "person": 8,
    }
    assert sum(counts["difficult"] for counts in found.classes.values()) == 5
