"""Features of clear and hazy images in two dimensions, before and after adaptation, and how far
apart the domains are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dmaskrcnn.data import Dataset
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.evaluation.domain_distance import DomainDistance, proxy_a_distance
from dmaskrcnn.report.figures import CLEAR, HAZY, render
from dmaskrcnn.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = 60  # per domain: enough for the distance, a minute on a CPU with a small network
LEAST_IMAGES = 10
FOLDS = 5

Array = NDArray[np.float64]


def spread_out(count: int, most: int) -> list[int]:
    """At most ``most`` of the indices 0 … count − 1, evenly spread."""
    return (
        np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
        if count
        else []
    )


@torch.inference_mode()
def pooled_features(detector: Detector, data: Dataset, indices: Sequence[int]) -> Array:
    """The mean of each level's map over the part of it that shows the image: float64 ``(N, 4 C)``
    of P2-P5.

    Image by image, so that none is padded to the size of another: cameras differ between domains.
    """
    rows = []
    for index in tqdm(
        indices,
        desc="features",
        unit="image",
        leave=False,
        disable=None if sys.stderr.isatty() else True,
    ):
        batch = detector.normalise([detector.resize(data.load(index).image)])
        maps = detector.features(batch)
        size = batch.image_sizes[0]
        levels = [
            level.crop(maps[level.name][0], size).float().mean((1, 2)) for level in detector.levels
        ]
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
    models = [(group.name, group.model) for group in material.groups if group.model is not None]
    if (
        not models
        or source is None
        or target is None
        or min(len(source), len(target)) < LEAST_IMAGES
    ):
        return []
    chosen = [spread_out(len(data), IMAGES) for data in (source, target)]
    figures, distances = [], []
    for name, run in models:
        detector = run.detector(material.device)
        clear, hazy = (
            pooled_features(detector, d, indices)
            for d, indices in zip((source, target), chosen, strict=True)
        )
        if not (np.isfinite(clear).all() and np.isfinite(hazy).all()):
            continue
        distances.append((name, proxy_a_distance(clear, hazy, folds=FOLDS)))
        figures.append(_scatter(name, clear, hazy, distances[-1][1]))
    return [_sentence(distances, [len(indices) for indices in chosen]), *figures] if figures else []


def _sentence(distances: list[tuple[str, DomainDistance]], counts: list[int]) -> str:
    first, *others = distances
    text = f"{escape(first[0])} {first[1].value:.2f} ± {first[1].spread:.2f}"
    for name, distance in others:
        text += f"; {escape(name)} {distance.value:.2f} ± {distance.spread:.2f}"
    return (
        f"<p>Distance between the domains: <b>{text}</b>. {counts[0]} clear source images and "
        f"{counts[1]} hazy target images; "
        "proxy A-distance of the pooled features P2–P5 (Ben-David et al. 2007): 2 (1 − 2 e), e "
        "the held-out error of a linear "
        f"classifier; ± standard deviation over the folds ({FOLDS}, repeated). 0: the domains "
        "cannot be told apart; 2: always. "
        "A smaller distance is what alignment aims at; it does not by itself mean better "
        "detection.</p>"
    )


def _scatter(name: str, clear: Array, hazy: Array, distance: DomainDistance) -> str:
    points, shares = principal_components(np.concatenate([clear, hazy]))

    def draw(axes: Axes) -> None:
        for part, colour, marker in (
            (points[: len(clear)], CLEAR, "o"),
            (points[len(clear) :], HAZY, "^"),
        ):
            axes.plot(*part.T, marker, color=colour, markersize=5, alpha=0.75, markeredgewidth=0)
        axes.set_xlabel(f"first component, {100 * shares[0]:.0f} % of the variance")
        axes.set_ylabel(f"second, {100 * shares[1]:.0f} %")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.margins(0.06)

    return render(draw, f"{escape(name)} <small>distance {distance.value:.2f}</small>", height=2.9)
