"""How far apart two domains are for a linear classifier: the proxy A-distance, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Ridge, as a share of the mean variance. The features are standardised, and mostly more than there
# are images.
SHRINKAGE = 0.1


@dataclass(frozen=True)
class DomainDistance:
    """Proxy A-distance of two samples.

    Attributes:
        value: in [0, 2]: 0 where the domains cannot be told apart, 2 where every held-out image is
            told right.
        folds: float64 ``(repeats, folds)``, the same from each held-out part alone, in [-2, 2]:
            there, below 0 is not cut off.
    """

    value: float
    folds: Array

    @property
    def spread(self) -> float:
        """Standard deviation over the folds: how much the distance depends on which images are held
        out."""
        return float(self.folds.std(ddof=1))


def proxy_a_distance(
    first: Array, second: Array, folds: int = 5, repeats: int = 4, seed: int = 0
) -> DomainDistance:
    """``2 (1 - 2 e)``, with e the held-out error of a linear classifier that tells the domains
    apart.

    Ben-David et al., "Analysis of Representations for Domain Adaptation", NIPS 2006, section 4; the
    classifier is Fisher's linear discriminant with a ridge. e is the mean of both domains' error
    rates, so that chance is 1/2 whatever their sizes, and of all cross-validation folds; e above
    1/2 counts as 1/2.

    Args:
        first: ``(N, D)``, one feature vector per image of one domain.
        second: ``(M, D)``, the same of the other.
        folds: parts of the cross-validation.
        repeats: how often it is repeated with other parts.
        seed: of the parts.

    Raises:
        ValueError: fewer images of a domain than folds, or another number of features.
    """
    if first.ndim != 2 or first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"expected two arrays (N, D) of the same D, got {first.shape} and {second.shape}"
        )
    if min(len(first), len(second)) < folds:
        raise ValueError(
            f"{len(first)} and {len(second)} feature vectors are too few for {folds} folds"
        )
    generator = np.random.default_rng(seed)
    errors = np.empty((repeats, folds))
    for repeat in range(repeats):
        parts = [generator.permutation(len(domain)) % folds for domain in (first, second)]
        for fold in range(folds):
            held, kept = zip(
                *(
                    (d[p == fold], d[p != fold])
                    for d, p in zip((first, second), parts, strict=True)
                ),
                strict=True,
            )
            errors[repeat, fold] = _held_out_error(*kept, *held)
    distances = 2 * (1 - 2 * errors)
    return DomainDistance(float(np.clip(distances.mean(), 0, 2)), distances)


def _held_out_error(first: Array, second: Array, held_first: Array, held_second: Array) -> float:
    """Mean error rate of both domains' held-out images, for a discriminant fitted to the others."""
    both = np.concatenate([first, second])
    mean, scale = both.mean(0), both.std(0)
    scale[scale == 0] = 1
    first, second, held_first, held_second = (
        (x - mean) / scale for x in (first, second, held_first, held_second)
    )
    means = first.mean(0), second.mean(0)
    within = np.concatenate([first - means[0], second - means[1]])
    gap = means[1] - means[0]
    direction = _ridge_solve(within, gap)
    middle = (means[0] + means[1]) @ direction / 2
    wrong = (held_first @ direction > middle).mean() + (held_second @ direction <= middle).mean()
    return float(wrong / 2)


def _ridge_solve(within: Array, gap: Array) -> Array:
    """``(S + r I)^-1 gap`` with S the covariance of ``within`` ``(n, D)`` and r its ridge, in the
    smaller of n and D."""
    n, dimensions = within.shape
    ridge = max(SHRINKAGE * (within**2).mean(), 1e-12) * n
    if dimensions <= n:
        return np.linalg.solve(within.T @ within + ridge * np.eye(dimensions), gap)
    # Woodbury: (W'W + r I)^-1 g = (g - W' (W W' + r I)^-1 W g) / r
    return (
        gap - within.T @ np.linalg.solve(within @ within.T + ridge * np.eye(n), within @ gap)
    ) / ridge
