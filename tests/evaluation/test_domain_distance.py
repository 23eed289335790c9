from math import erf, sqrt

import numpy as np
import pytest

from dmaskrcnn.evaluation.domain_distance import SHRINKAGE, _ridge_solve, proxy_a_distance


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("dimensions", [2, 512])
def test_the_same_distribution_is_near_0(dimensions: int):
    values = [
        proxy_a_distance(normal(2 * s, 60, dimensions), normal(2 * s + 1, 60, dimensions)).value
        for s in range(8)
    ]
    assert np.mean(values) < 0.2
    assert min(values) == 0  # chance goes below 0 as often as above, and is cut off there
    assert max(values) < 0.6


@pytest.mark.parametrize("dimensions", [2, 512])
def test_separable_domains_are_2_apart(dimensions: int):
    found = proxy_a_distance(normal(0, 60, dimensions), normal(1, 40, dimensions) + 8)
    assert found.value == 2
    assert found.spread == 0


@pytest.mark.parametrize("gap", [0.5, 1.0, 2.0])
def test_gaussians_against_theory(gap: float):
    """The best linear classifier of two unit Gaussians a distance g apart errs with probability
    Φ(-g/2)."""
    second = normal(1, 3000, 3)
    second[:, 1] += gap
    error = (1 + erf(-gap / 2 / sqrt(2))) / 2
    assert proxy_a_distance(normal(0, 2000, 3), second).value == pytest.approx(
        2 * (1 - 2 * error), abs=0.06
    )


def test_sizes_and_scales_do_not_matter():
    """Chance is one half where one domain has ten times the images; a unit is no evidence."""
    assert proxy_a_distance(normal(0, 400, 4), normal(1, 40, 4)).value < 0.35
    first, second = normal(2, 50, 6), normal(3, 50, 6) + 0.7
    units = np.array([1e-6, 1, 1e6, 3, 1e-3, 7])
    assert proxy_a_distance(first * units, second * units).value == pytest.approx(
        proxy_a_distance(first, second).value
    )


def test_constant_features_tell_nothing():
    assert proxy_a_distance(np.ones((20, 3)), np.ones((20, 3))).value == 0


def test_folds_and_their_spread():
    found = proxy_a_distance(normal(0, 30, 3), normal(1, 30, 3) + 0.8, folds=5, repeats=3)
    assert found.folds.shape == (3, 5)
    assert found.value == pytest.approx(found.folds.mean())
    assert found.spread == pytest.approx(found.folds.std(ddof=1))
    assert found.spread > 0
    # same parts
    assert (
        proxy_a_distance(normal(0, 30, 3), normal(1, 30, 3) + 0.8, folds=5, repeats=3).value
        == found.value
    )


def test_both_ways_to_solve_are_one():
    within, gap = normal(0, 12, 30), normal(1, 30)
    ridge = SHRINKAGE * (within**2).mean() * 12
    expected = np.linalg.solve(within.T @ within + ridge * np.eye(30), gap)
    np.testing.assert_allclose(_ridge_solve(within, gap), expected, rtol=1e-9)
    np.testing.assert_allclose(
        _ridge_solve(within.T, gap[:12]),
        np.linalg.solve(
            within @ within.T + SHRINKAGE * (within**2).mean() * 30 * np.eye(12), gap[:12]
        ),
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("first", "second"), [((4, 3), (20, 3)), ((20, 3), (20, 4)), ((0, 3), (20, 3)), ((20,), (20,))]
)
def test_bad_input(first: tuple[int, ...], second: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"too few|expected"):
        proxy_a_distance(normal(0, *first), normal(1, *second))
