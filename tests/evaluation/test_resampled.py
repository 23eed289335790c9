"""Average precision of resamples, against test sets that repeat their images literally."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dmaskrcnn.evaluation import resampled
from dmaskrcnn.evaluation.average_precision import COCO_RECALLS, Curve, average_precision
from dmaskrcnn.evaluation.bootstrap import resample_counts
from dmaskrcnn.evaluation.resampled import resampled_precision


def random_curve(seed: int, images: int, detections: int, at_recalls: bool, hit=0.4) -> Curve:
    """More objects than are found; detections at places of no order."""
    rng = np.random.default_rng(seed)
    counted = rng.integers(0, images, detections)
    found = np.flatnonzero(rng.random(detections) < np.linspace(min(1, 2 * hit), 0, detections))
    objects = np.bincount(counted[found], minlength=images) + rng.integers(0, 2, images)
    return Curve(counted, found, objects, at_recalls)


def reference(curve: Curve, counts: NDArray[np.integer]) -> float:
    """One resample, an image, a detection and a recall at a time."""
    total = sum(int(n) * int(c) for n, c in zip(curve.objects, counts, strict=True))
    if not total:
        return float("nan")
    hits, seen, points = 0, 0, []
    found = set(curve.found.tolist())
    for place, image in enumerate(curve.counted.tolist()):
        for _ in range(counts[image]):
            seen += 1
            hits += place in found
            points.append((hits / total, hits / seen, place in found))
    # copies of an image come at once, and count at once: only the last of them is a point
    ends = np.cumsum(counts[curve.counted])
    points = [points[end - 1] for end, n in zip(ends, counts[curve.counted], strict=True) if n]
    if curve.at_recalls:
        best = [max((p for r, p, _ in points if r >= recall), default=0) for recall in COCO_RECALLS]
        return sum(best) / len(best)
    area, before = 0.0, 0.0
    for index, (recall, _, _) in enumerate(points):
        area += (recall - before) * max(p for _, p, _ in points[index:])
        before = recall
    return area


@pytest.mark.parametrize("at_recalls", [False, True])
@pytest.mark.parametrize(("images", "detections", "hit"), [(7, 40, 0.4), (30, 300, 0.3), (3, 9, 0)])
def test_resamples_against_literal_ones(at_recalls, images, detections, hit):
    curve = random_curve(1, images, detections, at_recalls, hit)
    counts = resample_counts(images, 12, 3)
    (got,) = resampled_precision([curve], counts.astype(np.float32))
    wanted = [reference(curve, counts[:, column]) for column in range(12)]
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_every_image_once_is_the_set_itself():
    curves = [random_curve(seed, 50, 900, bool(seed % 2)) for seed in range(6)]
    got = resampled_precision(curves, np.ones((50, 1), dtype=np.float32))
    np.testing.assert_allclose(got[:, 0], list(map(average_precision, curves)), atol=1e-6)


def test_recalls_that_fall_just_short():
    """0.35 of 20 objects is the 7th, but COCO's list has 0.35000000000000003: the 8th is needed."""
    counted = np.arange(40) % 20
    found = np.array([0, 1, 2, 3, 4, 5, 6, 27])
    curve = Curve(counted, found, np.ones(20, dtype=np.int64), True)
    assert (np.arange(101) / 100 < COCO_RECALLS)[35]
    (got,) = resampled_precision([curve], np.ones((20, 3), dtype=np.float32))
    assert got == pytest.approx([average_precision(curve)] * 3, abs=1e-7)
    precision = [1.0] * 35 + [8 / 28] * 6 + [0.0] * 60
    assert average_precision(curve) == pytest.approx(np.mean(precision))


def test_many_objects_and_few_columns_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """Above what float32 tells apart at the limits, and in several chunks of resamples."""
    curve = random_curve(2, 40, 3000, True)
    many = Curve(curve.counted, curve.found, curve.objects * 1000, True)
    assert many.objects.sum() > resampled._MOST_SINGLE
    weights = resample_counts(40, 150, 0).astype(np.float32)
    whole = resampled_precision([curve, many], weights)
    monkeypatch.setattr(resampled, "SCRATCH_BYTES", 1)
    np.testing.assert_array_equal(resampled_precision([curve, many], weights), whole)
    wanted = [reference(many, weights[:, column].astype(int)) for column in range(5)]
    np.testing.assert_allclose(whole[1, :5], wanted, atol=1e-6)


def test_equal_curves_are_computed_once(monkeypatch: pytest.MonkeyPatch):
    asked = []
    area = resampled._Resamples._area

    def counting(self, curve, *more):
        asked.append(curve)
        return area(self, curve, *more)

    monkeypatch.setattr(resampled._Resamples, "_area", counting)
    one, again, other = (random_curve(seed, 10, 60, True) for seed in (1, 1, 2))
    whole = Curve(one.counted, one.found, one.objects, False)
    got = resampled_precision(
        [one, other, again, whole], resample_counts(10, 50, 0).astype(np.float32)
    )
    assert [id(curve) for curve in asked] == [id(one), id(whole), id(other)]
    np.testing.assert_array_equal(got[0], got[2])
    assert not np.array_equal(got[0], got[3])


def test_no_curves_and_no_resamples():
    assert resampled_precision([], np.ones((3, 5), dtype=np.float32)).shape == (0, 5)
    curve = random_curve(0, 5, 20, True)
    assert resampled_precision([curve], np.ones((5, 0), dtype=np.float32)).shape == (1, 0)
