"""Detections that can mean nothing are warned of; ordinary ones are not."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmaskrcnn.evaluation.results_json import load_results

HEIGHT, WIDTH = 48, 64


def ordinary(count: int = 200) -> np.ndarray:
    """Boxes xyxy all over a picture; some reach over its edge, as some detectors let them."""
    chance = np.random.default_rng(0)
    size = np.array([WIDTH, HEIGHT])
    middle, sides = (
        chance.random((count, 2)) * size,
        (0.05 + 0.1 * chance.random((count, 2))) * size,
    )
    return np.concatenate([middle - sides / 2, middle + sides / 2], 1)


def said(
    folder: Path, caplog: pytest.LogCaptureFixture, boxes: Any, sizes: Any = ((HEIGHT, WIDTH),)
) -> str:
    path = folder / "r.json"
    entry = {"image_id": 1, "category_name": "car", "score": 0.5}
    path.write_text(json.dumps([entry | {"bbox": list(box)} for box in boxes]))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load_results(path, [1], {"car": 3}, sizes)
    text = "; ".join(record.getMessage() for record in caplog.records)
    assert text == "" or text.startswith(f"{path}: ")
    return text


def as_xywh(boxes: np.ndarray) -> list[list[float]]:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()


def test_ordinary_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = as_xywh(ordinary())
    few_odd = [[1, 1, 0, 0], [0, 0, 0.5, 0.5], [500, 500, 9, 9], *boxes[:9]]
    for some in (boxes, few_odd, boxes[:1]):
        assert said(tmp_path, caplog, some) == ""
    # a picture that is broken behind its header has no size, and a caller may know none
    assert said(tmp_path, caplog, boxes, [(0, 0)]) == said(tmp_path, caplog, boxes, None) == ""


@pytest.mark.parametrize("scale", [1.3, 2, 10])
def test_pictures_of_another_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scale: float
) -> None:
    text = said(tmp_path, caplog, as_xywh(ordinary() * scale))
    assert "of 200 boxes reach far outside their pictures, first entry" in text
    assert "in a picture of 64x48; predict on the pictures as they are, or scale" in text


def test_corners(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = said(tmp_path, caplog, ordinary().clip(0, [WIDTH, HEIGHT] * 2).tolist())
    assert "reach far outside their pictures" in text
    assert "if these are x1, y1, x2, y2, write x, y, width, height" in text


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0.1, 0.2, 0.5, 0.9]] * 3 + [[5, 5, 9, 9]], "3 of 4 boxes lie within one pixel, first e"),
        (
            [[5, 5, 9, 9]] + [[1, 2, 0, 0]] * 3,
            "3 of 4 boxes have no area, first entry 1: bbox [1, ",
        ),
        ([], "holds no detection"),
    ],
)
def test_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, boxes: list[list[float]], message: str
) -> None:
    assert message in said(tmp_path, caplog, boxes)
