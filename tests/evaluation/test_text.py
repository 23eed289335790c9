"""Scores as text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation_cases import random_case

from dmaskrcnn.evaluation.bootstrap import Difference, Metric
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.scores import paired_difference
from dmaskrcnn.evaluation.text import Html, Table, bold, interval, scores_table, starred


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (None, "n/a"),
        (Metric(np.nan), "n/a"),
        (Metric(0.664), "66.4"),
        (Metric(0.664, 0.61, 0.712), "66.4 [61.0, 71.2]"),
    ],
)
def test_values(metric: Metric | None, text: str):
    assert interval(metric) == starred(metric) == bold(metric) == text


@pytest.mark.parametrize(
    ("metric", "text", "clear"),
    [
        (Difference(0.1, 0.05, 0.2), "+10.0 [+5.0, +20.0]", True),
        (Difference(-0.1, -0.2, -0.05), "-10.0 [-20.0, -5.0]", True),
        (Difference(-0.1, -0.2, 0.0), "-10.0 [-20.0, +0.0]", False),
        (Difference(0.1), "+10.0", False),
    ],
)
def test_differences(metric: Difference, text: str, clear: bool):
    assert interval(metric) == text
    assert starred(metric) == text + ("*" if clear else " ")
    assert bold(metric) == (f"**{text}**" if clear else text)


def test_digits():
    assert interval(Metric(0.5, 0.25, 1.2), digits=0) == "50 [25, 120]"


def test_table_in_three_forms():
    table = Table(
        [["", "AP", "a | b"], ["source", "1.0", "<2>"], ["grl", "10.0", Html("<b>3</b>")]]
    )
    assert table.text().splitlines() == [
        "          AP     a | b",
        "source   1.0       <2>",
        "grl     10.0  <b>3</b>",
    ]
    assert table.markdown().splitlines() == [
        "|  | AP | a \\| b |",
        "|---|---:|---:|",
        "| source | 1.0 | <2> |",
        "| grl | 10.0 | <b>3</b> |",
    ]
    html = table.html("wide")
    assert html.startswith('<table class="wide"><thead><tr><th scope="col"></th>')
    assert '<th scope="row">source</th><td data-head="AP">1.0</td>' in html
    assert '<td data-head="a | b">&lt;2&gt;</td>' in html
    assert '<td data-head="a | b"><b>3</b></td>' in html


def test_table_and_json():
    truth, found = random_case(14, images=20)
    scores = score(truth, found, bootstrap=50)
    table = scores.table()
    metric = scores["voc/AP50/car"]
    assert f"{100 * metric.value:.1f} [{100 * metric.low:.1f}, {100 * metric.high:.1f}]" in table
    rows = {line.split()[0]: line for line in table.splitlines() if line}
    assert rows["car"].split()[1] == str(scores.objects["car"])
    assert rows["bus"].split()[1:] == ["0", "n/a", "n/a", "n/a"]
    assert len(rows["car"]) == len(rows["bus"]) == len(rows["class"])
    record = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert record["metrics"]["voc/AP50/car"] == {
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
    }
    assert record["metrics"]["box/AP/bus"] == {"value": None, "low": None, "high": None}
    assert "+" not in table
    change = scores_table(paired_difference(scores, scores), scores.objects, scores.drawn)
    assert "+0.0 [+0.0, +0.0] 0%" in change
