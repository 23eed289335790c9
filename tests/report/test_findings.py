"""The sentence above the page, the metric it speaks of, and whose rows are whose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.evaluation.bootstrap import Metric
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.report.findings import class_table, headline, leading_metric, metric_columns, table
from dmaskrcnn.report.material import gather
from dmaskrcnn.report.score_figures import interval_figures
from dmaskrcnn.run import Run


def scored(value: float, low: float, high: float, noise: np.ndarray, **objects: int) -> Scores:
    names = ["voc/AP50", *(f"voc/AP50/{name}" for name in objects), "legacy/mAP"]
    metrics = dict.fromkeys(names, Metric(value, low, high, value + noise))
    return Scores(metrics, objects or {"car": 80}, 10, len(noise), 0, "the same")


def comparison_of(
    *values: float, spread: float = 0.01, published: float | None = None, **objects: int
) -> Comparison:
    rows = []
    for number, value in enumerate(values):
        noise = np.random.default_rng(number).normal(size=200) * spread
        scores = scored(
            value,
            value - spread,
            value + spread,
            noise - noise.mean() if len(noise) else noise,
            **objects,
        )
        rows.append(
            Row(
                RunGroup(f"row {number}", (Run(Path(f"{number}")),)),
                "none",
                (Path("gone"),),
                scores,
                0.1,
                published,
            )
        )
    return Comparison(tuple(rows), (Path("gone"),), {}, Path("out"))


@pytest.mark.parametrize(
    ("values", "spread", "said"),
    [
        (
            (0.3, 0.32, 0.4),
            0.01,
            "row 2 beats row 0: AP50 of car 30.0 → 40.0 %, a difference of +10.0 points [+",
        ),
        (
            (0.4, 0.3),
            0.01,
            "Nothing beats row 0, row 1 is worse: AP50 of car 40.0 → 30.0 %, a "
            "difference of −10.0 points [−",
        ),
        ((0.4, 0.2, 0.3), 0.01, "Nothing beats row 0, the closest is row 2: "),
        ((0.3, 0.31), 0.05, "No difference is shown between row 1 and row 0: "),
        ((0.3,), 0.01, "row 0: AP50 of car 30.0 % [29.0, 31.0] on 10 test images."),
    ],
)
def test_headline(values: tuple[float, ...], spread: float, said: str):
    found = headline(gather([], comparison_of(*values, spread=spread)))
    assert found.startswith(said)
    if len(values) > 1:
        contains = "No difference" in said
        assert found.endswith(
            f"; the 95 % interval {'contains' if contains else 'does not contain'} 0."
        )


def test_headline_without_interval():
    comparison = comparison_of(0.3, 0.4)
    rows = [
        replace(r, scores=scored(0.3 + 0.1 * i, np.nan, np.nan, np.empty(0)))
        for i, r in enumerate(comparison.rows)
    ]
    found = headline(gather([], Comparison(tuple(rows), comparison.data, {}, comparison.out)))
    assert (
        found
        == "row 1 against row 0: AP50 of car 30.0 → 40.0 %, a difference of +10.0 points, without "
        "an interval."
    )


@pytest.mark.parametrize(
    ("objects", "published", "metric"),
    [
        ({"car": 400, "person": 90}, None, "voc/AP50"),
        # the mean would be half a class of nine objects
        ({"car": 400, "person": 9}, None, "voc/AP50/car"),
        ({"car": 20, "person": 9}, None, "voc/AP50"),
        ({"car": 400, "bus": 0}, None, "voc/AP50"),
        ({"car": 400, "person": 90}, 0.61, "legacy/mAP"),
    ],
)
def test_leading_metric(objects: dict[str, int], published: float | None, metric: str):
    rows = comparison_of(0.3, 0.4, published=published, **objects).rows
    assert leading_metric(rows)[0] == metric
    assert next(iter(metric_columns(rows))) == metric


def test_a_plus_in_a_name_is_a_plus():
    """Once the runs of a row were what stood behind the last " + " of its name."""
    first, second = comparison_of(0.3, 0.4).rows
    group = RunGroup("grl + haze", (Run(Path("grl")),))
    rows = (
        replace(first, dehaze="mscnn"),
        replace(second, group=group, dehaze="mscnn"),
        replace(second, group=group, dehaze="aod-net"),
    )
    material = gather([], Comparison(rows, (Path("gone"),), {}, Path("out")))
    assert [group.name for group in material.groups] == ["row 0", "grl + haze"]
    assert [material.group_of(row) for row in rows] == [0, 1, 1]
    assert [row.name for row in rows[1:]] == ["MSCNN + grl + haze", "AOD-Net + grl + haze"]


def test_tables():
    """Losses are red, gains are green, and what may be nothing is neither."""
    comparison = comparison_of(0.3, 0.4, 0.2, 0.3001, car=400, person=90)
    html = table(comparison).html("scores")
    assert html.count('data-head="mean AP50 of 2 classes"') == 4
    first, better, worse, same = html.split("<tbody>")[1].split("</tr>")[:4]
    assert "Δ" not in first
    assert 'class="gain up"' in better
    assert 'class="gain down"' in worse
    assert 'class="gain"' in same
    assert "Δ −10.0 <small>[−" in html
    assert 'data-head="car (400)"' in class_table(comparison).html("scores")


def test_masks_that_only_the_first_row_has():
    """A detector without masks beside one with them: a dash in the table, no dot in the figure."""
    comparison = comparison_of(0.3, 0.4, car=400)
    first, second = comparison.rows
    metrics = first.scores.metrics | {"mask/AP50": Metric(0.2, 0.1, 0.3)}
    rows = (replace(first, scores=replace(first.scores, metrics=metrics)), second)
    comparison = replace(comparison, rows=rows)
    assert table(comparison).html("scores").split("</tr>")[2].count("–") == 1
    assert "mean mask AP50" in "".join(interval_figures(gather([], comparison)))
