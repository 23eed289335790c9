"""The page of many runs on many images can still be sent by mail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_cases import CLASSES, Page, write_predictions, write_run

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.data import open_dataset
from dmaskrcnn.evaluation.results_json import load_results
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.report import write_report
from dmaskrcnn.run import open_run

RUNS, IMAGES, OBJECTS, SIZE = 20, 200, 6, 48
ITERATIONS = 3000  # rows of each metrics.csv


@pytest.fixture
def many_images(tmp_path: Path) -> Path:
    """Noise, which no compression makes small, with boxes of 20 classes anywhere."""
    random = np.random.default_rng(0)
    names = [*CLASSES, *(f"class of things {number}" for number in range(16))]
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    (tmp_path / "images").mkdir()
    for image in range(IMAGES):
        pixels = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{image}.png", compress_level=0)
        said = {"id": image, "file_name": f"images/{image}.png", "width": SIZE, "height": SIZE}
        content["images"].append(said)
        for x, y, w, h in random.integers(4, SIZE // 2, (OBJECTS, 4)).tolist():
            one = {"id": len(content["annotations"]) + 1, "image_id": image, "bbox": [x, y, w, h]}
            category = int(random.integers(1, len(names) + 1))
            content["annotations"].append(
                {**one, "category_id": category, "area": w * h, "iscrowd": 0}
            )
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_twenty_runs_on_two_hundred_images(
    many_images: Path, scenes: dict[str, Path], tmp_path: Path
):
    truth = open_dataset(many_images)
    ids = dict(zip(truth.classes, truth.category_ids, strict=True))
    first = write_run(tmp_path / "run", scenes["source"], None)
    head, row, *_ = (first / "metrics.csv").read_text().splitlines()
    log = [head, *(f"{k},{row.partition(',')[2]}" for k in range(1, ITERATIONS + 1))]
    (first / "metrics.csv").write_text("\n".join(log) + "\n")
    found = [write_predictions(tmp_path / f"{n}.json", many_images, n, 0.5) for n in range(4)]
    results = [load_results(file, truth.image_ids, ids) for file in found]
    scores = [score(truth, result, bootstrap=10) for result in results]
    rows, runs = [], []
    for number in range(RUNS):
        run = tmp_path / f"a-name-as-long-as-people-give-them-{number}-1"
        runs.append(shutil.copytree(first, run))
        group = RunGroup(run.name, (open_run(run),))
        rows.append(Row(group, "none", (found[number % 4],), scores[number % 4], 0.1, None))
    compared = Comparison(tuple(rows), (many_images,), {}, tmp_path, ())
    written = write_report(tmp_path / "report.html", runs, compared)
    assert written.stat().st_size < 3_000_000
    page = Page(written)
    assert len(page.data["rows"]) == RUNS
    assert page.data["pictures"]
    assert {"intervals", "curves", "training", "pictures"} <= set(page.sections)
    assert page.text.count("class of things") > 10
