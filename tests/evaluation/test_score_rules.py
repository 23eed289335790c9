"""What counts and what does not, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_cases import CLASSES, Truth, coco_eval, make_found, make_objects, random_case

from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.score import score

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]


def test_legacy_worked_by_hand():
    truth = Truth(
        [
            make_objects([A, B], [0, 1]),
            make_objects([A], [0]),
            make_objects([], []),
            make_objects([A], [0]),
        ],
        [1, 2, 3, 4],
    )
    found = [
        # Wrong class, then both objects: precision 1/2, 2/3 → envelope 2/3 over all the recall.
        make_found([C, A, B, B], [2, 0, 1, 1], [0.95, 0.9, 0.8, 0.69]),
        make_found([A], [0], [0.7]),  # 1: the threshold is inclusive
        make_found([A], [0], [0.9]),  # no objects: skipped
        make_found([A], [0], [0.6]),  # below the threshold: 0
    ]
    assert score(truth, found, bootstrap=0)["legacy/mAP"].value == pytest.approx(
        (2 / 3 + 1 + 0) / 3
    )


def test_a_second_match_is_a_false_positive_and_difficult_objects_are_ignored():
    truth = Truth([make_objects([A, B, C], [0, 0, 0], difficult=[False, True, False])], [1])
    found = [make_found([A, A, B, B, C], [0] * 5, [0.9, 0.8, 0.7, 0.6, 0.5])]
    scores = score(truth, found, bootstrap=0)
    assert scores["voc/AP50/car"].value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert scores.objects == {"car": 2, "person": 0, "bus": 0}


def test_crowds_never_count_against_a_detection():
    truth = Truth([make_objects([A, [0, 0, 40, 40]], [0, 0], crowd=[False, True])], [1])
    found = [make_found([B, C, A], [0] * 3, [0.9, 0.8, 0.7])]
    scores = score(truth, found, bootstrap=0)
    assert all(scores[name].value == 1 for name in ("voc/AP50/car", "box/AP/car", "legacy/mAP"))


def test_classes_meet_by_canonical_name_in_any_order():
    truth, found = random_case(4)
    expected = score(truth, found, bootstrap=0)
    truth.classes = ("car", "motorcycle", "bus")
    shuffled = [
        Detections(
            d.boxes,
            torch.tensor([2, 1, 0])[d.labels],
            d.scores,
            d.masks,
            ("bus", "Motorbike", "car"),
        )
        for d in found
    ]
    scores = score(truth, shuffled, bootstrap=0)
    assert scores["box/AP/motorcycle"].value == expected["box/AP/person"].value > 0
    assert scores["legacy/mAP"].value == expected["legacy/mAP"].value


def test_images_with_box_only_objects_are_left_out_of_mask_ap():
    truth, found = random_case(5, images=30, boxes_only=0.15)
    complete = [i for i, o in enumerate(truth.objects) if o.has_mask.all()]
    assert 5 < len(complete) < 25
    part = Truth([truth.objects[i] for i in complete], complete)
    scores = score(truth, found, bootstrap=0)
    stats, _ = coco_eval(part, [found[i] for i in complete], "segm")
    np.testing.assert_allclose(
        [scores[f"mask/{k}"].value for k in ("AP", "AP50", "AP75")], stats[:3], atol=1e-9
    )
    stats, _ = coco_eval(truth, found, "bbox")
    assert scores["box/AP"].value == pytest.approx(stats[0], abs=1e-9)


def test_no_mask_ap_without_masks_in_truth_or_detections():
    truth, found = random_case(6)
    assert "mask/AP" in score(truth, found, bootstrap=0).metrics
    boxes_only = [replace(d, masks=torch.zeros_like(d.masks)) for d in found]
    assert "mask/AP" not in score(truth, boxes_only, bootstrap=0).metrics
    no_size = [replace(d, masks=torch.zeros(len(d), 0, 0, dtype=torch.bool)) for d in found]
    assert "mask/AP" not in score(truth, no_size, bootstrap=0).metrics
    truth, found = random_case(6, boxes_only=1.0)
    assert "mask/AP" not in score(truth, found, bootstrap=0).metrics


def test_no_detections_scores_zero():
    truth, _ = random_case(11)
    scores = score(truth, [Detections.empty(64, 64, CLASSES)] * 12, bootstrap=10)
    for name in ("voc/AP50", "box/AP", "mask/AP", "legacy/mAP", "box/AP50/car"):
        assert scores[name].value == scores[name].low == scores[name].high == 0


def test_no_objects_gives_no_numbers():
    _, found = random_case(12, images=3)
    scores = score(Truth([Annotations.empty(64, 64)] * 3, ["a", "b", "c"]), found, bootstrap=10)
    assert all(
        np.isnan(metric.value) and np.isnan(metric.low) for metric in scores.metrics.values()
    )
    assert "n/a" in scores.table()
    nothing = score(Truth([], []), [], bootstrap=10)
    assert np.isnan(nothing["voc/AP50"].value)
    assert np.isnan(score(Truth([], [], ()), [], bootstrap=10)["legacy/mAP"].value)


def test_one_image_has_a_value_but_no_interval():
    scores = score(
        Truth([make_objects([A], [0])], ["x"]), [make_found([A], [0], [0.9])], bootstrap=50
    )
    assert scores["voc/AP50/car"].value == scores["legacy/mAP"].value == 1
    assert np.isnan(
        [scores["voc/AP50/car"].low, scores["voc/AP50"].high, scores["legacy/mAP"].low]
    ).all()


def test_as_many_predictions_as_images():
    truth, found = random_case(13)
    with pytest.raises(ValueError, match="shorter"):
        score(truth, found[:-1], bootstrap=0)


def test_masks_of_another_size_are_refused():
    truth = Truth([make_objects([A], [0])], ["street"])
    with pytest.raises(UserError, match=r"street.*50×50.*40×40"):
        score(truth, [make_found([A], [0], [0.9], size=50)], bootstrap=0)
