"""Images that are not independent: groups are resampled whole, in every interval."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import Truth, random_case

from dmaskrcnn.evaluation.average_precision import Curve, average_precision
from dmaskrcnn.evaluation.bootstrap import resample_counts, with_interval
from dmaskrcnn.evaluation.resampled import resampled_precision
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.scores import paired_difference
from dmaskrcnn.evaluation.seeds import over_seeds

SCENES, FRAMES = 40, 8


def frames(truth: Truth, found: list, times: int) -> tuple[Truth, list, np.ndarray]:
    """Every image ``times`` times, as a camera that stands still sees it; and which it is of."""
    groups = np.repeat(np.arange(len(found)), times)
    ids: list[int | str] = list(range(len(groups)))
    return Truth([truth.objects[i] for i in groups], ids), [found[i] for i in groups], groups


def test_one_image_in_each_group_changes_no_bit():
    truth, found = random_case(3)
    truth.image_ids = [7, 3, 11, 1, 5, 2, 9, 10, 8, 6, 4, 0]
    alone = score(truth, found, bootstrap=50)
    named = score(
        truth, found, bootstrap=50, groups=np.array([5, 40, 1, 2, 9, 8, 7, 6, 3, 0, 4, 10])
    )
    assert named.to_dict() == alone.to_dict()
    for name, metric in alone.metrics.items():
        np.testing.assert_array_equal(named[name].replicates, metric.replicates)
    assert (alone.groups, alone.grouping, alone.drawn) == (12, "", "12 images")


def test_frames_of_one_scene_say_no_more_than_the_scene():
    truth, found = random_case(4)
    scenes = score(truth, found, bootstrap=100)
    many, their, groups = frames(truth, found, 6)
    grouped = score(many, their, bootstrap=100, groups=groups)
    alone = score(many, their, bootstrap=100)
    # not AP: of equal scores COCO and VOC take one image's after the other's
    assert grouped["legacy/mAP"].low == pytest.approx(scenes["legacy/mAP"].low)
    assert grouped["legacy/mAP"].high == pytest.approx(scenes["legacy/mAP"].high)
    for name in ("voc/AP50", "box/AP", "mask/AP50/car"):
        widths = [s[name].high - s[name].low for s in (grouped, alone)]
        assert widths[0] > 1.8 * widths[1]
    assert grouped.drawn == "72 images in 12 groups"
    assert "72 images in 12 groups, mean over" in grouped.table()
    assert grouped.to_dict()["groups"] == 12
    assert grouped.to_dict()["grouping"]


def test_a_class_in_one_group_has_no_interval():
    truth, found = random_case(5)
    for objects in truth.objects[4:]:
        objects.labels[:] = 1  # persons
    groups = np.array([0, 0, 0, 0, *range(1, 9)])
    cars = [int((o.labels == 0).sum()) for o in truth.objects[:4]]
    assert sum(cars) > 0
    scores = score(truth, found, bootstrap=50, groups=groups)
    assert np.isnan(scores["voc/AP50/car"].low)
    assert scores["voc/AP50/person"].low == scores["voc/AP50/person"].low
    assert np.isnan(score(truth, found, bootstrap=50, groups=np.zeros(12))["voc/AP50"].low)


def test_other_groups_are_not_comparable():
    truth, found = random_case(6)
    alone = score(truth, found, bootstrap=20)
    pairs, rows = (score(truth, found, bootstrap=20, groups=np.arange(12) // n) for n in (2, 3))
    for other in (alone, rows):
        for refused in (lambda o: paired_difference(pairs, o), lambda o: over_seeds([pairs, o])):
            with pytest.raises(ValueError, match="other groups of images: take the same --groups"):
                refused(other)
    assert paired_difference(pairs, pairs)["voc/AP50"].value == 0


def draw_scenes(rng: np.random.Generator, scenes: int) -> Curve:
    """A detector that finds, or misses, one object in all frames of a scene, with a score of its
    own, and takes something else for one in a third of the scenes."""
    hit = rng.random(scenes) < 0.7
    sure = rng.beta(np.where(hit, 4, 2), 2)
    wrong, its_score = rng.random(scenes) < 1 / 3, rng.beta(2, 3, scenes)
    owner = np.repeat(np.arange(scenes), FRAMES)
    image = np.concatenate([np.arange(scenes * FRAMES)[hit[owner]], np.flatnonzero(wrong[owner])])
    scores = np.concatenate([sure[owner][hit[owner]], its_score[owner][wrong[owner]]])
    found = np.arange(len(image)) < hit[owner].sum()
    order = np.argsort(-scores, kind="stable")
    objects = np.ones(scenes * FRAMES, dtype=np.int64)
    return Curve(image[order], np.flatnonzero(found[order]), objects, at_recalls=False)


def test_intervals_over_scenes_hold_the_truth():
    """Of 95 % intervals over frames half do not."""
    rng = np.random.default_rng(0)
    true = average_precision(draw_scenes(rng, 4000))
    owner = np.repeat(np.arange(SCENES), FRAMES)
    draws = [resample_counts(SCENES, 200, 0)[owner], resample_counts(len(owner), 200, 0)]
    weights = np.column_stack(draws).astype(np.float32)
    held = np.zeros(2)
    for _ in range(200):
        curve = draw_scenes(rng, SCENES)
        (values,) = resampled_precision([curve], weights)
        for kind, replicates in enumerate(np.split(values, 2)):
            metric = with_interval(average_precision(curve), replicates)
            held[kind] += metric.low <= true <= metric.high
    grouped, alone = held / 200
    assert grouped > 0.9  # 0.945 of 600; with 20 scenes 0.93, with 100 of 4 frames 0.93
    assert alone < 0.6
