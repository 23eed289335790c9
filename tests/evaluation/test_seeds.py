"""The mean over seeds: against a loop written out, and how often its intervals hold a known
truth."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import random_case

from dmaskrcnn.evaluation.bootstrap import Metric, resample_counts, with_interval
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.scores import Scores, paired_difference
from dmaskrcnn.evaluation.seeds import draw_seeds, over_seeds


def scores_of(
    metrics: dict[str, Metric], bootstrap: int, images: int = 12, seed: int = 0
) -> Scores:
    return Scores(metrics, {"car": 1}, images, bootstrap, seed, "truth")


def runs(count: int, bootstrap: int = 60) -> list[Scores]:
    """One test set; the seeds lose other detections."""
    truth, found = random_case(3, images=10)
    kept = [[d[i % count :: 2] if count > 1 else d for d in found] for i in range(count)]
    return [score(truth, some, bootstrap=bootstrap, seed=5) for some in kept]


def test_against_a_loop():
    three = runs(3)
    mean = over_seeds(three)
    drawn = np.random.default_rng([5, 3]).integers(3, size=(60, 3))
    for name in ("voc/AP50", "box/AP/car", "mask/AP", "legacy/mAP"):
        metrics = [s[name] for s in three]
        assert mean[name].value == pytest.approx(sum(m.value for m in metrics) / 3)
        expected = []
        for column in range(60):
            here = [m.replicates[column] for m in metrics]
            centre = sum(here) / 3
            expected.append(centre + 1.5**0.5 * (sum(here[i] for i in drawn[column]) / 3 - centre))
        np.testing.assert_allclose(mean[name].replicates, expected)
        assert mean[name].low < mean[name].value < mean[name].high
    assert (mean.images, mean.objects, mean.seed) == (three[0].images, three[0].objects, 5)


def test_one_seed_is_itself_and_equal_seeds_add_nothing():
    (one,) = runs(1)
    assert over_seeds([one]) is one
    for name, metric in over_seeds([one, one, one]).metrics.items():
        assert metric.value == pytest.approx(one[name].value, nan_ok=True)
        np.testing.assert_allclose(metric.replicates, one[name].replicates)


def test_draws_are_fair_and_the_same_every_time():
    shares = draw_seeds(4, 4000, 0)
    np.testing.assert_array_equal(shares, draw_seeds(4, 4000, 0))
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_allclose(shares.mean(axis=1), 0.25, atol=0.02)
    assert not np.array_equal(shares, draw_seeds(4, 4000, 1))


def test_differences_are_paired_seed_by_seed():
    """Seeds differ by 0.2, the methods by 0.01 with every seed: the difference knows it."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 200)
    levels = (0.3, 0.5, 0.4)
    first = over_seeds([scores_of({"AP": with_interval(v, v + noise)}, 200) for v in levels])
    second = over_seeds(
        [scores_of({"AP": with_interval(v + 0.01, v + 0.01 + noise)}, 200) for v in levels]
    )
    assert first["AP"].high - first["AP"].low > 0.15
    change = paired_difference(first, second)["AP"]
    assert (change.value, change.low, change.high) == pytest.approx((0.01, 0.01, 0.01))


def test_what_is_missing_somewhere():
    nothing = Metric(float("nan"))
    a = scores_of({"AP": Metric(0.2), "mask/AP": Metric(0.3), "AP/bus": nothing}, 0)
    b = scores_of({"AP": Metric(0.4), "AP/bus": nothing}, 0)
    mean = over_seeds([a, b])
    assert list(mean.metrics) == ["AP", "AP/bus"]
    assert mean["AP"].value == pytest.approx(0.3)
    assert np.isnan([mean["AP"].low, mean["AP/bus"].value]).all()


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no scores"):
        over_seeds([])
    a = scores_of({}, 10)
    with pytest.raises(ValueError, match="different ground truth"):
        over_seeds([a, Scores({}, {}, 12, 10, 0, "other")])
    for other in (scores_of({}, 20), scores_of({}, 10, seed=1)):
        with pytest.raises(ValueError, match="with other resamples"):
            over_seeds([a, other])


def simulate(
    count: int, image: float, seed: float, both: float, trials: int = 600, images: int = 40
) -> tuple[float, float]:
    """How often the interval holds the truth, with seeds drawn and without, where it is 0.5 and the
    mean is the metric."""
    rng = np.random.default_rng(1)
    counts = resample_counts(images, 200, 0) / images
    held = np.zeros(2)
    for _ in range(trials):
        values = (
            0.5
            + rng.normal(0, image, images)
            + rng.normal(0, seed, (count, 1))
            + rng.normal(0, both, (count, images))
        )
        metrics = [with_interval(v.mean(), v @ counts) for v in values]
        mean = over_seeds([scores_of({"AP": m}, 200) for m in metrics])["AP"]
        alone = with_interval(mean.value, np.mean([m.replicates for m in metrics], axis=0))
        held += [m.low <= 0.5 <= m.high for m in (mean, alone)]
    return held[0] / trials, held[1] / trials


def test_intervals_hold_the_truth():
    ours, images_alone = simulate(5, image=0.12, seed=0.04, both=0.05)
    assert ours > 0.9  # 95 % on paper
    assert images_alone < ours - 0.08
    assert simulate(3, image=0.12, seed=0.01, both=0.05)[0] > 0.9
    # what two seeds can tell of seeds
    assert simulate(2, image=0.12, seed=0.04, both=0.05)[0] > 0.7
