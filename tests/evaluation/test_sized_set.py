"""Scores of objects of one size against faster-coco-eval and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import Truth, coco_eval, make_found, make_objects, random_case, save_detector

from dmaskrcnn import evaluate
from dmaskrcnn.evaluation.by_size import score_by_size, size_table
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.sized_set import SIZES


@pytest.mark.parametrize("size", [(0.0, 250.0), (250.0, 500.0), (500.0, 1e10)])
@pytest.mark.parametrize("crowd", [0.0, 0.25])
def test_agrees_with_faster_coco_eval(size, crowd):
    truth, found = random_case(4, images=20, crowd=crowd)
    scores = score(truth, found, bootstrap=0, size=size)
    for family, kind in (("box", "bbox"), ("mask", "segm")):
        stats, _ = coco_eval(truth, found, kind, size)
        assert 0.05 < stats[0] < 0.95
        ours = [scores[f"{family}/{part}"].value for part in ("AP", "AP50", "AP75")]
        np.testing.assert_allclose(ours, stats[:3], atol=1e-9)
    whole = score(truth, found, bootstrap=0)
    assert 0 < sum(scores.objects.values()) < sum(whole.objects.values())
    assert scores.fingerprint != whole.fingerprint  # not to be compared


def test_sizes_are_those_of_boxes_where_there_are_no_masks():
    # a small and a large object found, a small one missed; a large and a small false alarm
    objects = make_objects(
        [[0, 0, 30, 30], [0, 0, 100, 100], [50, 50, 70, 70]], [0, 0, 0], 200, has_mask=[False] * 3
    )
    found = make_found(
        [[0, 0, 30, 30], [0, 0, 100, 100], [90, 90, 199, 199], [150, 0, 160, 9]],
        [0] * 4,
        [0.9, 0.8, 0.95, 0.3],
        size=200,
    )
    by_size = {
        n: score(Truth([objects], [1]), [found], bootstrap=0, size=s) for n, s in SIZES.items()
    }
    assert [scores.objects["car"] for scores in by_size.values()] == [2, 0, 1]
    values = [scores["voc/AP50/car"].value for scores in by_size.values()]
    assert values == pytest.approx([0.5, np.nan, 0.5], nan_ok=True)


def test_nothing_found_and_nothing_there():
    nothing, none = make_objects([], []), make_found([], [], [])
    assert np.isnan(score(Truth([nothing], [1]), [none], size=SIZES["small"])["box/AP"].value)


def test_a_table_has_the_sizes_that_there_are(tmp_path, clear):
    run = save_detector(tmp_path / "run", "car", "person")
    scores = evaluate(run, clear, bootstrap=5, by_size=True)
    table = size_table(scores.metrics, scores.objects_by_size, "by size")
    rows = [line.split()[:3] for line in table.splitlines()[3:]]
    assert {size for _, size, _ in rows} == {"small"}  # all that 64 x 96 px have room for
    for name, count in scores.objects.items():
        assert sum(int(n) for row, _, n in rows if row == name) == count


def test_sizes_stand_beside_the_scores_of_all():
    truth, found = random_case(4, images=20)
    scores = score_by_size(lambda size: score(truth, found, bootstrap=5, size=size))
    whole = score(truth, found, bootstrap=5)
    for name, metric in whole.metrics.items():
        assert scores[name].value == pytest.approx(metric.value, nan_ok=True)
    for name, size in SIZES.items():
        alone = score(truth, found, bootstrap=5, size=size)
        assert scores.objects_by_size[name] == alone.objects
        for part, expected in alone.metrics.items():
            if part != "legacy/mAP":
                ours = scores[f"{name}/{part}"]
                np.testing.assert_array_equal(ours.replicates, expected.replicates)
                assert ours.value == pytest.approx(expected.value, nan_ok=True)
    assert not any("legacy" in name for name in scores.metrics if name.startswith(tuple(SIZES)))
    assert "objects_by_size" in scores.to_dict()
    assert "objects_by_size" not in whole.to_dict()
