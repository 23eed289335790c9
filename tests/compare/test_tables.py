"""A comparison as text."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.compare.tables import csv_table, markdown, terminal
from dmaskrcnn.evaluation.bootstrap import with_interval
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.run import Run, open_run


def scores(classes: int, shift: float = 0.0) -> Scores:
    noise = np.random.default_rng(0).normal(0, 0.02, 100)
    names = [f"class {i}" for i in range(classes)]
    metrics = {
        name: with_interval(0.3 + shift, 0.3 + shift + noise * (1 + 5 * shift))
        for name in (
            "voc/AP50",
            "box/AP",
            "mask/AP",
            "legacy/mAP",
            *(f"voc/AP50/{n}" for n in names),
        )
    }
    return Scores(metrics, {name: 1000 - i for i, name in enumerate(names)}, 63, 100, 0, "truth")


def comparison(classes: int = 3, published: float | None = None) -> Comparison:
    source, grl, yolo = (
        RunGroup(name, tuple(map(open_run, paths)))
        for name, paths in (
            ("source", ["runs/source-1"]),
            ("grl | x", ["r/1", "r/2"]),
            ("yolo", ["yolo.json"]),
        )
    )
    rows = (
        Row(source, "none", (Path("a.json"),), scores(classes), 0.0817, published),
        Row(grl, "mscnn-released", (), scores(classes, 0.1), 1.5, published),
        Row(yolo, "none", (Path("yolo.json"),), scores(classes), math.nan),
    )
    return Comparison(rows, (Path("fog/test"),), {}, Path("out"), ("A note.",))


def test_terminal():
    text = terminal(comparison(classes=25, published=0.61))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 118
    assert lines[0].endswith("authors' metric  paper, RTTS")
    assert lines[1].startswith("source  ")
    assert lines[1].endswith("  61.00")
    assert "40.0 [3" in lines[2]
    assert [line.split() for line in lines[5:7]] == [
        ["seeds", "s/image"],
        ["source", "1", "0.0817"],
    ]
    assert "class 9 AP50 (991)" in text
    assert "class 10" not in text
    assert "The 10 most frequent classes are shown" in text
    assert lines[-1] == "A note."
    later = text[text.index("Difference to source") :].splitlines()
    assert later[2].split() == [
        "VOC",
        "AP50",
        "COCO",
        "box",
        "AP",
        "COCO",
        "mask",
        "AP",
        "authors'",
        "metric",
    ]
    assert later[3].count("+10.0 [") == later[3].count("]*") == 4
    assert later[4].count("+0.0 [+0.0, +0.0]") == 4
    assert "*" not in later[4]


def test_markdown():
    text = markdown(comparison())
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert table[1] == "|---" + "|---:" * 9 + "|"
    assert "| MSCNN as released + grl \\| x | 40.0 [" in table[3]
    assert "| **+10.0 [" in table[7]
    assert (
        "- source: `runs/source-1`\n- MSCNN as released + grl \\| x: `r/1`, `r/2`\n- yolo: "
        "`yolo.json`\n" in text
    )
    assert "- Test set: `fog/test`" in text


def test_csv():
    rows = list(csv.DictReader(io.StringIO(csv_table(comparison(published=0.61)))))
    by_key = {(row["row"], row["metric"]): row for row in rows}
    first, second = (
        by_key["source", "legacy/mAP"],
        by_key["MSCNN as released + grl | x", "legacy/mAP"],
    )
    assert (first["value"], first["difference"], first["published"], first["seeds"]) == (
        "0.3",
        "",
        "0.61",
        "1",
    )
    assert (float(second["difference"]), float(second["share_above_zero"]), second["seeds"]) == (
        pytest.approx(0.1),
        1,
        "2",
    )
    assert by_key["source", "voc/AP50"]["published"] == ""
    assert by_key["source", "seconds_per_image"]["value"] == "0.0817"
    assert ("yolo", "seconds_per_image") not in by_key


def test_one_row_alone():
    alone = Comparison(comparison().rows[2:], (Path("test"),), {}, Path("out"))
    for text in (terminal(alone), markdown(alone)):
        assert "Difference" not in text
        assert "s/image" not in text
        assert "do not contain what another seed would change" in text


def test_the_weights_scored_are_named(tmp_path: Path):
    said = {"method": "teacher", "weights": "ema", "iteration": 450, "finished": True}
    (tmp_path / "model.json").write_text(json.dumps(said))
    first, second, _ = comparison().rows

    def of(row: Row) -> RunGroup:
        return replace(row.group, runs=(Run(tmp_path),))

    for rows, who in (
        ((first, replace(second, group=of(second))), second.name),
        ((replace(first, group=of(first)),), "all rows"),
    ):
        text = terminal(Comparison(tuple(rows), (Path("test"),), {}, Path("out")))
        assert f"Scored of {who}: the teacher: averaged weights (EMA), iteration 450." in " ".join(
            text.split()
        )
