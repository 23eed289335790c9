"""The benchmark of methods: a start for each seed, shares of a gap that may not be there, and
clear air beside haze."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import adaptation
import numpy as np
import pytest
from adaptation_tables import gap_closed, table, titled, with_means

from dmaskrcnn.evaluation.bootstrap import Metric, with_interval
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.text import interval


def metric(value: float) -> Metric:
    return with_interval(value, value + np.linspace(-0.02, 0.02, 41) * (value > 0))


def scores(value: float) -> Scores:
    return Scores({"voc/AP50/car": metric(value)}, {"car": 40}, 12, 41, 0, "", 12)


def test_every_seed_has_its_own_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done: dict[str, list[str]] = {}
    monkeypatch.setattr(adaptation, "run", lambda out, name, options: done.update({name: options}))
    words = f"train --source s --target t --oracle o --out {tmp_path} --seeds 0 3"
    monkeypatch.setattr(sys, "argv", ["adaptation.py", *words.split()])
    adaptation.main()
    methods = ("start", "source", "haze", "teacher-haze", "oracle", "oracle-haze")
    assert list(done) == [f"{method}-seed{seed}" for seed in (0, 3) for method in methods]
    for name, options in done.items():
        seed = name.partition("-seed")[2]
        assert options[options.index("--seed") + 1] == seed
        start = options[options.index("--weights") + 1]
        assert start == ("imagenet" if "start" in name else str(tmp_path / f"start-seed{seed}-1"))


def test_share_of_the_gap():
    half = gap_closed(metric(0.2), metric(0.3), metric(0.4))
    assert half.value == pytest.approx(0.5)
    assert (half.low, half.high) == pytest.approx((0.5, 0.5))
    for ends in ((0.0, 0.0, 0.0), (0.3, 0.3, 0.3), (0.4, 0.3, 0.2), (math.nan,) * 3):
        assert interval(gap_closed(*map(metric, ends))) == "n/a"


def test_clear_air_stands_beside_haze():
    hazy = {"source": {0: scores(0.2)}, "haze": {0: scores(0.3)}, "oracle": {0: scores(0.4)}}
    clear = {"source": {0: scores(0.6)}, "haze": {0: scores(0.5)}, "oracle": {0: scores(0.5)}}
    heads, *rows = table(hazy, "voc/AP50/car", "AP50", "source", clear, {"haze": 1.5}).rows
    assert heads[3:] == [
        "difference to `source`",
        "of the gap closed",
        "in clear air",
        "difference in clear air",
        "time",
    ]
    assert [row[2].split()[0] for row in rows] == ["20.0", "30.0", "40.0"]
    assert [row[4].split()[:1] for row in rows] == [[], ["50"], []]
    assert [row[5].split()[0] for row in rows] == ["60.0", "50.0", "50.0"]
    assert [row[6].split()[:1] for row in rows] == [[], ["-10.0"], ["-10.0"]]
    assert rows[1][7] == "1.50×"
    assert len(table(hazy, "voc/AP50/car", "AP50", "source").rows[0]) == 6
    del hazy["source"]  # then there is no gap, and still a difference
    _, (_, _, _, difference, gap, *_), _ = table(hazy, "voc/AP50/car", "AP50", "oracle").rows
    assert (difference.split()[0], gap) == ("-10.0", "")


def test_means_in_clear_air_are_over_the_classes_of_haze():
    values = {"car": 0.4, "truck": 0.2, "bus": 0.9}
    metrics = {f"voc/AP50/{name}": metric(value) for name, value in values.items()}
    clear = Scores(metrics, {"car": 3, "truck": 40, "bus": 2}, 12, 41, 0, "", 12)
    boxes = {f"box/{part}/{name}": metric(0.1) for part in ("AP", "AP75") for name in values}
    clear.metrics.update(boxes)
    for names, mean in (["car", "truck"], 0.3), (["truck"], 0.2), (["car", "bicycle"], 0.4):
        found = with_means(clear, names)["voc/AP50 mean"]
        assert found.value == pytest.approx(mean)
        assert found.low < mean < found.high
    assert "voc/AP50 mean" not in with_means(scores(0.2), ["bicycle"]).metrics


def test_titles_say_what_was_counted():
    measured = replace(scores(0.2), objects={"car": 40, "bus": 3})
    measured.metrics.update({f"box/{part}/car": metric(0.1) for part in ("AP", "AP75")})
    assert titled(measured, {"car": 40}) == {
        "voc/AP50/car": "AP50 of car (40 objects)",
        "box/AP/car": "box AP of car (40 objects)",
        "box/AP75/car": "box AP75 of car (40 objects)",
    }
    small = titled(measured, {"car": 40, "bus": 30}, "small")
    assert small["voc/AP50/bus"] == "AP50 of bus (30 small objects)"
    assert small["voc/AP50 mean"] == "mean AP50 of these classes, small objects"
