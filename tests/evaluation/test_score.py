"""Scores against independent implementations: faster-coco-eval for COCO, plain loops for VOC and
for the authors' metric."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_cases import CLASSES, Truth, make_found, make_objects, random_case
from faster_coco_eval import COCO
from faster_coco_eval import COCOeval_faster as COCOeval
from faster_coco_eval.core import mask as rle

from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.score import paired_difference, score
from dmaskrcnn.evaluation.scores import difference_table


def coco_eval(truth, found, kind):
    """The twelve COCO numbers, and precision ``(T, R, K)``, from faster-coco-eval."""
    annotations, results = [], []
    for index, (objects, detections) in enumerate(zip(truth.objects, found, strict=True)):
        for sort, record in ((annotations, objects), (results, detections)):
            for i in range(len(record)):
                x1, y1, x2, y2 = record.boxes[i].double().tolist()
                code = rle.encode(np.asfortranarray(record.masks[i].numpy().astype(np.uint8)))
                entry = {
                    "image_id": truth.image_ids[index],
                    "category_id": int(record.labels[i]) + 1,
                    "segmentation": code,
                }
                entry |= {
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "id": len(sort) + 1,
                    "area": (x2 - x1) * (y2 - y1),
                }
                entry |= (
                    {"score": float(record.scores[i])}
                    if sort is results
                    else {"iscrowd": int(record.crowd[i])}
                )
                sort.append(entry)
    size = truth.objects[0].masks.shape[1:]
    images = [{"id": i, "height": size[0], "width": size[1]} for i in truth.image_ids]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(truth.classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        real = COCO(
            {"images": images, "annotations": annotations, "categories": categories, "info": {}}
        )
        run = COCOeval(real, real.loadRes(results), kind, print_function=lambda *_: None)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats, run.eval["precision"][:, :, :, 0, -1]


@pytest.mark.parametrize("crowd", [0.0, 0.25])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_coco_numbers_agree_with_faster_coco_eval(seed, crowd):
    truth, found = random_case(seed, crowd=crowd)
    scores = score(truth, found, bootstrap=0)
    for family, kind in (("box", "bbox"), ("mask", "segm")):
        stats, precision = coco_eval(truth, found, kind)
        assert 0.05 < stats[0] < 0.95
        ours = [scores[f"{family}/{part}"].value for part in ("AP", "AP50", "AP75")]
        np.testing.assert_allclose(ours, stats[:3], atol=1e-9)
        for label, name in enumerate(CLASSES[:2]):
            assert scores[f"{family}/AP/{name}"].value == pytest.approx(
                precision[:, :, label].mean(), abs=1e-9
            )
            assert scores[f"{family}/AP75/{name}"].value == pytest.approx(
                precision[5, :, label].mean(), abs=1e-9
            )
        assert np.isnan(scores[f"{family}/AP/bus"].value)


def test_equal_scores_and_more_than_100_detections_agree_with_faster_coco_eval():
    truth, found = random_case(3, images=6)
    truth.image_ids = [5, 3, 9, 1, 4, 2]
    many = [
        Detections(
            *(torch.cat([getattr(d, k)] * 15) for k in ("boxes", "labels", "scores", "masks")),
            CLASSES,
        )
        for d in found
    ]
    many = [replace(d, scores=(d.scores * 4).round() / 4) for d in many]
    many = [d[d.scores.argsort(descending=True, stable=True)] for d in many]
    assert max(len(d) for d in many) > 200
    stats, _ = coco_eval(truth, many, "bbox")
    scores = score(truth, many, bootstrap=0)
    np.testing.assert_allclose(
        [scores[f"box/{k}"].value for k in ("AP", "AP50", "AP75")], stats[:3], atol=1e-9
    )


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def area_below(hits, positives):
    """All-point interpolated average precision of hits (True, False) by falling score."""
    recall, precision = [0.0], [0.0]
    for n in range(1, len(hits) + 1):
        recall.append(sum(hits[:n]) / positives)
        precision.append(sum(hits[:n]) / n)
    recall.append(1.0)
    precision.append(0.0)
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def plain_voc(truth, found, label):
    """Pascal VOC average precision of one class, step by step as the devkit's ``VOCevaldet``
    describes it."""
    everything = [
        (float(d.scores[i]), image, d.boxes[i].double().tolist())
        for image, d in enumerate(found)
        for i in range(len(d))
        if d.classes[int(d.labels[i])] == truth.classes[label]
    ]
    everything.sort(key=lambda entry: -entry[0])
    positives = sum(int(((o.labels == label) & ~o.difficult).sum()) for o in truth.objects)
    taken, hits = set(), []
    for _, image, box in everything:
        objects, best, best_iou = truth.objects[image], None, -1.0
        for j in range(len(objects)):
            if (
                objects.labels[j] == label
                and (overlap := iou(box, objects.boxes[j].double().tolist())) > best_iou
            ):
                best, best_iou = j, overlap
        if best is not None and best_iou >= 0.5:
            if objects.difficult[best]:
                continue
            hits.append((image, best) not in taken)
            taken.add((image, best))
        else:
            hits.append(False)
    return area_below(hits, positives)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_voc_agrees_with_a_plain_implementation(seed):
    truth, found = random_case(seed, difficult=0.2)
    scores = score(truth, found, bootstrap=0)
    plain = [plain_voc(truth, found, label) for label in (0, 1)]
    assert [scores[f"voc/AP50/{name}"].value for name in CLASSES[:2]] == pytest.approx(
        plain, abs=1e-12
    )
    assert scores["voc/AP50"].value == pytest.approx(np.mean(plain), abs=1e-12)


def plain_legacy(truth, found):
    per_image = []
    for objects, d in zip(truth.objects, found, strict=True):
        if not len(objects):
            continue
        free, hits = set(range(len(objects))), []
        for i in range(len(d)):
            if d.scores[i] < np.float32(0.7) or len(hits) == 100:
                continue
            name, box = d.classes[int(d.labels[i])], d.boxes[i].double().tolist()
            options = [
                (iou(box, objects.boxes[j].double().tolist()), j)
                for j in free
                if truth.classes[objects.labels[j]] == name
            ]
            overlap, j = max(options, default=(0.0, -1))
            hits.append(overlap >= 0.5)
            if hits[-1]:
                free.remove(j)
        per_image.append(area_below(hits, len(objects)))
    return np.mean(per_image)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_legacy_agrees_with_a_plain_implementation(seed):
    # The detector names its third class "zebra": those detections are false positives of the
    # authors' metric.
    truth, found = random_case(seed, difficult=0.2, classes=("car", "person", "zebra"))
    assert score(truth, found, bootstrap=0)["legacy/mAP"].value == pytest.approx(
        plain_legacy(truth, found), abs=1e-12
    )


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
    change = difference_table(paired_difference(scores, scores), scores.objects, scores.images)
    assert "+0.0 [+0.0, +0.0] 0%" in change
