"""95 % intervals by resampling the images, and paired differences of two runs on the same images.

Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The image is the unit: the
objects of one photograph are not independent of each other.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Metric:
    """A number with its 95 % interval.

    Attributes:
        value: in [0, 1] (a difference: in [-1, 1]); NaN where there was no object to find.
        low: 2.5th percentile of the resamples; NaN without an interval.
        high: 97.5th percentile.
        replicates: ``(B,)``, the value in each resample, NaN where it held no object; empty without an interval.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    replicates: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False, compare=False)


@dataclass(frozen=True)
class Difference(Metric):
    """The second run minus the first.

    Attributes:
        share_above_zero: share of the resamples in which the second run is better; NaN without an interval.
    """

    share_above_zero: float = np.nan


def resample_counts(images: int, replicates: int, seed: int) -> NDArray[np.int32]:
    """How often each image is drawn when as many as there are, are drawn with replacement: ``(images, replicates)``."""
    if images == 0:
        return np.zeros((0, replicates), dtype=np.int32)
    generator = np.random.default_rng(seed)
    counts = np.empty((images, replicates), dtype=np.int32)
    for column in range(replicates):
        counts[:, column] = np.bincount(generator.integers(images, size=images), minlength=images)
    return counts


def with_interval(value: float, replicates: NDArray[np.float64]) -> Metric:
    """A metric with the percentile interval of its resamples ``(B,)``; NaN resamples (no object drawn) are left out."""
    if np.isnan(value) or np.isnan(replicates).all():
        return Metric(value)
    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return Metric(value, float(low), float(high), replicates)


def difference(first: Metric, second: Metric) -> Difference:
    """The second minus the first, paired resample by resample."""
    value = second.value - first.value
    if len(first.replicates) == 0 or len(second.replicates) == 0:
        return Difference(value)
    paired = with_interval(value, second.replicates - first.replicates)
    drawn = paired.replicates[~np.isnan(paired.replicates)]
    return Difference(value, paired.low, paired.high, paired.replicates, float((drawn > 0).mean()))


def mean_over_classes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis, classes without an object (NaN) left out; NaN where that leaves none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's "mean of empty slice"
        return np.nanmean(values, axis=0) if len(values) else np.full(values.shape[1:], np.nan)
