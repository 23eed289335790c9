"""Intervals and paired differences: resamples against literally repeated images."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import Truth, random_case

from dmaskrcnn.evaluation.bootstrap import Metric, difference, resample_counts, with_interval
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.scores import paired_difference


def repeated(truth, found, counts):
    images = [i for i, count in enumerate(counts) for _ in range(count)]
    return Truth([truth.objects[i] for i in images], list(range(len(images)))), [
        found[i] for i in images
    ]


def test_resamples_equal_literally_repeated_images():
    truth, found = random_case(7, images=9, crowd=0.1, difficult=0.1)
    scores = score(truth, found, bootstrap=20, seed=3)
    counts = resample_counts(9, 20, 3)
    for column in range(20):
        literal = score(*repeated(truth, found, counts[:, column]), bootstrap=0)
        for name, metric in literal.metrics.items():
            if len(scores[name].replicates):
                np.testing.assert_allclose(
                    scores[name].replicates[column], metric.value, atol=1e-6, err_msg=name
                )


def test_intervals_hold_the_value_and_shrink_with_more_images():
    truth, found = random_case(8, images=12)
    few = score(truth, found, bootstrap=200)
    more = score(*repeated(truth, found, [8] * 12), bootstrap=200)
    for name in ("voc/AP50", "box/AP", "mask/AP50/car", "legacy/mAP"):
        assert few[name].low < few[name].value < few[name].high
        assert more[name].high - more[name].low < 0.6 * (few[name].high - few[name].low)
    again = score(truth, found, bootstrap=200)
    assert again["box/AP"] == few["box/AP"]
    assert score(truth, found, bootstrap=200, seed=1)["box/AP"] != few["box/AP"]


def test_intervals_are_percentiles_moved_by_the_bias():
    truth, found = random_case(15, images=15)
    metric = score(truth, found, bootstrap=100)["voc/AP50"]
    drawn = sorted(metric.replicates)
    bias = sum(drawn) / 100 - metric.value
    low, high = (
        drawn[2] + 0.475 * (drawn[3] - drawn[2]),
        drawn[96] + 0.525 * (drawn[97] - drawn[96]),
    )
    assert (metric.low, metric.high) == pytest.approx((low - bias, high - bias))


def test_an_interval_holds_its_value_even_where_all_resamples_are_biased():
    metric = with_interval(0.3, np.linspace(0.35, 0.45, 101))
    assert (metric.low, metric.high) == pytest.approx((0.2525, 0.3475))
    assert with_interval(0.99, np.linspace(0.9, 1.0, 101)).high == 1  # 1.0375 before the cut
    paired = difference(
        Metric(0.3, 0, 1, np.zeros(101)), Metric(0.3, 0, 1, np.linspace(0.35, 0.45, 101))
    )
    assert paired.share_above_zero == pytest.approx(0.5, abs=0.01)


def test_paired_difference():
    truth, found = random_case(9, images=20)
    good = score(truth, found, bootstrap=100)
    same = paired_difference(good, score(truth, found, bootstrap=100))
    assert all(
        d.value == d.low == d.high == d.share_above_zero == 0
        for n, d in same.items()
        if "bus" not in n
    )
    worse = [d[d.scores > 0.5] for d in found]
    change = paired_difference(score(truth, worse, bootstrap=100), good)["box/AP50"]
    assert change.low <= change.value <= change.high
    assert change.value > 0.05
    assert change.share_above_zero > 0.95
    assert change.high - change.low < good["box/AP50"].high - good["box/AP50"].low


def test_runs_that_cannot_be_paired_are_refused():
    truth, found = random_case(10)
    first = score(truth, found, bootstrap=10)
    with pytest.raises(ValueError, match="seed"):
        paired_difference(first, score(truth, found, bootstrap=10, seed=1))
    truth.objects[1].boxes[0, 0] += 1
    with pytest.raises(ValueError, match="ground truth"):
        paired_difference(first, score(truth, found, bootstrap=10))
