"""Features of clear and hazy images in two dimensions, before and after adaptation, and how far
apart the domains are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dmaskrcnn.data import Dataset
from dmaskrcnn.data.readable import decodable
from dmaskrcnn.evaluation.domain_distance import DomainDistance, proxy_a_distance
from dmaskrcnn.report.figures import CLEAR, HAZY, render
from dmaskrcnn.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmaskrcnn.detector.detector import Detector

IMAGES = 60  # per domain: enough for the distance, a minute on a CPU with a small network
LEAST_IMAGES = 10  # per domain: two in each fold
FOLDS = 5

Array = NDArray[np.float64]


def spread_out(count: int, most: int) -> list[int]:
    """At most ``most`` of the indices 0 … count − 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def pooled_features(detector: Detector, data: Dataset, indices: Sequence[int]) -> Array:
    """The mean of each level's map over the part of it that shows the image: float64 ``(N, 4 C)``
    of P2-P5.

    Image by image, so that none is padded to the size of another: cameras differ between domains.
    """
    import torch

    rows = []
    with torch.inference_mode():
        for index in tqdm(indices, "features", unit="image", leave=False, disable=None):
            batch = detector.normalise([detector.resize(data.picture(index))])
            maps = detector.features(batch)
            size = batch.image_sizes[0]
            cropped = (level.crop(maps[level.name][0], size) for level in detector.levels)
            levels = [level.float().mean((1, 2)) for level in cropped]
            rows.append(torch.cat(levels).cpu().double().numpy())
    return np.stack(rows)


def principal_components(features: Array) -> tuple[Array, Array]:
    """Standardised features along their first two principal components ``(N, 2)``, and each one's
    share of the variance."""
    scale = features.std(0)
    scaled = (features - features.mean(0)) / np.where(scale > 0, scale, 1)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    total = max(float((singular**2).sum()), 1e-12)
    return left[:, :2] * singular[:2], singular[:2] ** 2 / total


def feature_figures(material: Material) -> list[str]:
    """A sentence with the distances, then one figure per method; nothing without images of both
    domains or without a model."""
    source, target = material.source, material.target
    models = [(g.name, g.model) for g in material.groups if g.model and g.model.has_features]
    if not models or min(len(data or ()) for data in (source, target)) < LEAST_IMAGES:
        return []
    assert source is not None
    assert target is not None
    first, second = (decodable(data, spread_out(len(data), IMAGES)) for data in (source, target))
    if min(len(first), len(second)) < LEAST_IMAGES:
        return []
    figures, distances = [], []
    for name, run in models:
        detector: Any = run.detector(material.device)
        clear = pooled_features(detector, source, first)
        hazy = pooled_features(detector, target, second)
        if np.isfinite(clear).all() and np.isfinite(hazy).all():  # training may have diverged
            distances.append((name, proxy_a_distance(clear, hazy, folds=FOLDS)))
            figures.append(_scatter(name, clear, hazy, distances[-1][1]))
    return [_sentence(distances, len(first), len(second)), *figures] if figures else []


def _sentence(distances: list[tuple[str, DomainDistance]], clear: int, hazy: int) -> str:
    text = "; ".join(f"{escape(name)} {d.value:.2f} ± {d.spread:.2f}" for name, d in distances)
    return (
        f"<p>Distance between the domains: <b>{text}</b>. {clear} clear source images and "
        f"{hazy} hazy target images; proxy A-distance of the pooled features P2–P5 (Ben-David et "
        "al. 2007): 2 (1 − 2 e), e the held-out error of a linear classifier; ± standard deviation "
        f"over the folds ({FOLDS}, repeated). 0: the domains cannot be told apart; 2: always. A "
        "smaller distance is what alignment aims at; it does not by itself mean better "
        "detection.</p>"
    )


def _scatter(name: str, clear: Array, hazy: Array, distance: DomainDistance) -> str:
    points, shares = principal_components(np.concatenate([clear, hazy]))

    def draw(axes: Axes) -> None:
        dots = {"markersize": 5, "alpha": 0.75, "markeredgewidth": 0}
        axes.plot(*points[: len(clear)].T, "o", color=CLEAR, **dots)
        axes.plot(*points[len(clear) :].T, "^", color=HAZY, **dots)
        axes.set_xlabel(f"first component, {100 * shares[0]:.0f} % of the variance")
        axes.set_ylabel(f"second, {100 * shares[1]:.0f} %")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.margins(0.06)

    return render(draw, f"{escape(name)} <small>distance {distance.value:.2f}</small>", height=2.9)
