"""Precision-recall curves against the average precision that is their area."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import random_case

from dmaskrcnn.evaluation.precision_curves import precision_curves
from dmaskrcnn.evaluation.score import score


@pytest.mark.parametrize("seed", range(6))
def test_area_under_the_curve_is_the_ap(seed: int):
    truth, found = random_case(seed, crowd=0.1, difficult=0.1)
    scores, curves = score(truth, found, bootstrap=0), precision_curves(truth, found)
    assert set(curves) == {name for name, count in scores.objects.items() if count}
    for name, precision in curves.items():
        assert len(precision) == scores.objects[name]
        assert precision.mean() == pytest.approx(scores[f"voc/AP50/{name}"].value, abs=1e-12)
        assert (np.diff(precision) <= 0).all()  # the envelope never rises


def test_curves_need_one_prediction_per_image():
    truth, found = random_case(0)
    with pytest.raises(ValueError, match="zip"):
        precision_curves(truth, found[:-1])
