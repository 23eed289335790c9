"""`dmaskrcnn compare`: the rows, and what they are computed from."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import coco_object, write_coco, write_image
from disk import contents
from evaluation_cases import save_detector
from PIL import Image

from dmaskrcnn import Detector, evaluate, open_dataset
from dmaskrcnn.cli.main import main
from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.compare.rows import compare, score_runs
from dmaskrcnn.compare.tables import terminal
from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data import decode_image
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.images.dehazed_set import dehazed_paths
from dmaskrcnn.report import write_report
from dmaskrcnn.run import Run

ALL = ("none", *DEHAZERS)


def test_every_run_with_every_dehazing(
    runs: list[Path], clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "compare"
    arguments = [
        "--runs",
        *map(str, runs),
        "--dehaze",
        "none",
        "mscnn",
        "--data",
        str(clear),
        "--out",
        str(out),
    ]
    main(["compare", *arguments, "--bootstrap", "20", "--device", "cpu"])
    said = capsys.readouterr()
    assert said.out.splitlines()[-2:] == [f"report: {out / 'report.html'}", str(out)]
    assert max(map(len, said.out.splitlines()[:-3])) <= 118
    assert "4/4 MSCNN + grl-1: VOC AP50 " in said.err

    comparison = load_comparison(out)
    assert [row.name for row in comparison.rows] == [
        "source-1",
        "grl-1",
        "MSCNN + source-1",
        "MSCNN + grl-1",
    ]
    assert [row.dehaze for row in comparison.rows] == ["none", "none", "mscnn", "mscnn"]
    assert all(row.seconds_per_image > 0 for row in comparison.rows)
    assert comparison.data == (clear.resolve(),)
    assert comparison.images == {"mscnn": out / "dehazed" / "mscnn"}
    expected = evaluate(runs[1], clear, bootstrap=20, device="cpu")
    ours = comparison.rows[1].scores
    assert (ours.to_dict(), ours.fingerprint) == (expected.to_dict(), expected.fingerprint)
    np.testing.assert_array_equal(ours["box/AP"].replicates, expected["box/AP"].replicates)

    data = open_dataset(clear)
    dehazer = Dehazer("mscnn")
    pictures = [dehazer(data.load(i).image)[0] for i in range(len(data))]
    for path, picture in zip(dehazed_paths(data, out / "dehazed" / "mscnn"), pictures, strict=True):
        assert torch.equal(decode_image(path), picture)
    found = Detector.load(runs[0]).set_precision().predict(pictures[:4], threshold=0)
    entries = json.loads(comparison.rows[2].predictions[0].read_text())
    here = [entry["score"] for entry in entries if entry["image_id"] == data.image_ids[1]]
    assert here == found[1].scores.tolist()

    table = (out / "comparison.md").read_text()
    assert "| MSCNN + grl-1 | " in table
    assert "## Difference to source-1, in points" in table
    with (out / "comparison.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    change = next(r for r in lines if (r["row"], r["metric"]) == ("MSCNN + grl-1", "legacy/mAP"))
    difference = comparison.differences()[3]["legacy/mAP"]
    assert float(change["difference"]) == pytest.approx(difference.value, abs=1e-6)
    assert {r["metric"] for r in lines} == {*ours.metrics, "seconds_per_image"}
    assert "MSCNN" in (out / "report.html").read_text()


def test_seeds_share_a_row(clear: Path, tiny: Callable[..., Any], tmp_path: Path):
    runs = []
    for seed in (0, 1):
        runs.append(Run.create(tiny(method="source", seed=seed)))
        save_detector(runs[-1].path, seed=seed)
    comparison = compare(
        [run.path for run in reversed(runs)],
        [clear],
        ["none", "aod-net"],
        tmp_path / "out",
        bootstrap=20,
        device="cpu",
    )
    assert [(row.name, row.group.runs) for row in comparison.rows] == [
        ("source", tuple(runs)),
        ("AOD-Net + source", tuple(runs)),
    ]
    expected = over_seeds([evaluate(run.path, clear, bootstrap=20, device="cpu") for run in runs])
    assert comparison.rows[0].scores.to_dict() == expected.to_dict()
    assert len(comparison.rows[1].predictions) == 2
    assert "6 images and the 2 seeds" in (tmp_path / "out" / "comparison.md").read_text()


def test_by_size(runs: list[Path], clear: Path, tmp_path: Path):
    """In the tables, the CSV, the JSON and the page; as `evaluate` counts them."""
    out = tmp_path / "out"
    comparison = compare(runs, [clear], out=out, bootstrap=20, by_size=True, device="cpu")
    expected = evaluate(runs[1], clear, bootstrap=20, device="cpu", by_size=True)
    for scores in (comparison.rows[1].scores, load_comparison(out).rows[1].scores):
        assert scores.to_dict() == expected.to_dict()
        np.testing.assert_array_equal(
            scores["small/box/AP"].replicates, expected["small/box/AP"].replicates
        )
    count = expected.objects_by_size["small"]["car"]
    for text in (terminal(comparison), (out / "comparison.md").read_text()):
        assert f"small car AP50 ({count})" in text
        assert "small COCO box AP" in text
        assert "large" not in text.replace("to 96 x 96, large", "")  # there are none
    with (out / "comparison.csv").open(newline="") as file:
        metrics = {line["metric"] for line in csv.DictReader(file)}
    assert "small/mask/AP/car" in metrics
    page = write_report(out, comparison=load_comparison(out)).read_text()
    assert "<summary>AP50 by size (small to 32 x 32 px" in page
    assert f"car, small ({count})" in page


def test_predictions_of_others(runs: list[Path], tmp_path: Path):
    data = write_coco(tmp_path, [coco_object(1), coco_object(2, category=7)])
    results = tmp_path / "yolo.json"
    results.write_text(
        json.dumps([{"image_id": 1, "category_id": 3, "bbox": [2, 3, 10, 8], "score": 0.9}])
    )
    comparison = compare([runs[0], results, results], [data], out=tmp_path / "out", bootstrap=10)
    (ours, theirs) = comparison.rows
    assert (theirs.name, theirs.predictions, np.isnan(theirs.seconds_per_image)) == (
        "yolo",
        (results,),
        True,
    )
    assert theirs.scores["voc/AP50/car"].value == pytest.approx(1)
    assert list(ours.scores.objects) == ["car"]  # the run knows no motorcycle
    assert np.isnan(load_comparison(tmp_path / "out").rows[1].seconds_per_image)
    with pytest.raises(
        UserError, match=r"yolo\.json: predictions were made already.*--dehaze none"
    ):
        compare([results], [data], ["none", "mscnn"], tmp_path / "out")


def test_odd_pictures(runs: list[Path], tmp_path: Path):
    """One pixel; grey; 16 bits; transparent; and two of the same name."""
    data = write_coco(tmp_path, [coco_object(1)], images=5)
    table = json.loads(data.read_text())
    rng = np.random.default_rng(0)
    odd = {
        "1": Image.fromarray(rng.integers(0, 255, (1, 1, 3), dtype=np.uint8)),
        "2": Image.fromarray(rng.integers(0, 255, (20, 30), dtype=np.uint8)),
        "3": Image.fromarray(rng.integers(0, 65535, (20, 30), dtype=np.uint16)),
        "4": Image.fromarray(rng.integers(0, 255, (20, 30, 4), dtype=np.uint8)),
        "a/4": Image.fromarray(rng.integers(0, 255, (2, 300, 3), dtype=np.uint8)),
    }
    (tmp_path / "images" / "a").mkdir()
    for image, (name, picture) in zip(table["images"], odd.items(), strict=True):
        picture.save(tmp_path / "images" / f"{name}.png")
        image.update(file_name=f"{name}.png", width=picture.width, height=picture.height)
    table["annotations"] = [coco_object(1, image=2)]
    data.write_text(json.dumps(table))
    comparison = compare(runs[:1], [data], ALL, tmp_path / "out", bootstrap=10)
    assert len(comparison.rows) == len(ALL)
    paths = dehazed_paths(open_dataset(data), tmp_path / "out" / "dehazed" / "mscnn")
    for path, picture in zip(paths, odd.values(), strict=True):
        with Image.open(path) as dehazed:
            assert (dehazed.mode, dehazed.size) == ("RGB", picture.size)


def test_a_plus_in_a_name_is_a_plus(runs: list[Path], clear: Path, tmp_path: Path):
    """Rows say what they are of in fields: nothing is read out of their names."""
    odd = runs[1].parent / "grl + haze"
    if not odd.exists():
        save_detector(odd, seed=2)
    compare([odd], [clear], ["none", "mscnn"], tmp_path / "out", bootstrap=0)
    for row in load_comparison(tmp_path / "out").rows:
        assert (row.group.name, row.group.runs) == ("grl + haze", (Run(odd),))
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]
    assert [(row["name"], row["group"], row["dehaze"]) for row in rows] == [
        ("grl + haze", "grl + haze", "none"),
        ("MSCNN + grl + haze", "grl + haze", "mscnn"),
    ]


def test_scores_for_a_report(runs: list[Path], clear: Path, tmp_path: Path):
    comparison = score_runs(runs, [clear], tmp_path, "cpu")
    assert [row.name for row in comparison.rows] == ["source-1", "grl-1"]
    expected = evaluate(runs[1], clear, device="cpu")
    assert comparison.rows[1].scores.to_dict() == expected.to_dict()
    assert all(math.isnan(row.seconds_per_image) for row in comparison.rows)
    assert {Path(name).parts[0] for name in contents(tmp_path)} == {"predictions"}


def test_pictures_are_looked_at_again_in_another_frame(
    runs: list[Path], tmp_path: Path, work: dict[str, int]
):
    """Predictions in the picture as stored are none in the picture turned upright, of equal size
    though it is."""
    objects = [coco_object(1, bbox=(1, 2, 9, 7))]
    path = write_coco(tmp_path / "test", objects, images=1, categories=[{"id": 3, "name": "car"}])
    write_image(tmp_path / "test" / "images" / "001.png", 20, 30, orientation=3)
    for number, way in enumerate(("auto", "stored", "stored"), 1):
        out = tmp_path / "out"
        made = compare(runs[:1], [path], out=out, orientation=way, bootstrap=0, device="cpu")
        assert load_comparison(out).orientation == made.orientation == way
        assert work["detected"] == min(number, 2)
