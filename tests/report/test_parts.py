"""Outlines of masks, pooled features and figures of the report, each on its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import write_image
from report_cases import polygon_mask
from untrained import UNTRAINED

from dmaskrcnn import Detector
from dmaskrcnn.data import open_images
from dmaskrcnn.data.contours import area, mask_polygons, simplify
from dmaskrcnn.report.feature_figures import pooled_features, principal_components, spread_out
from dmaskrcnn.report.figures import INK, render, series_colour


def disc(height: int, width: int, radius: float, hole: float = 0) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = ((x + 0.5 - width / 2) ** 2 + (y + 0.5 - height / 2) ** 2).sqrt()
    return (distance < radius) & (distance >= hole)


@pytest.mark.parametrize(("radius", "hole", "parts"), [(20, 0, 1), (20, 9, 2), (60, 0, 1)])
def test_outlines_enclose_the_mask(radius: float, hole: float, parts: int):
    mask = disc(60, 90, radius, hole)
    polygons = mask_polygons(mask, 60, 90)
    assert len(polygons) == parts
    assert sum(map(len, polygons)) < 60
    drawn = polygon_mask(polygons, 60, 90)
    assert (drawn & mask.numpy()).sum() / (drawn | mask.numpy()).sum() > 0.95


def test_outlines_at_another_size():
    mask = disc(120, 180, 40)
    drawn = polygon_mask(mask_polygons(mask, 60, 90), 60, 90)
    half = disc(60, 90, 20).numpy()
    assert (drawn & half).sum() / (drawn | half).sum() > 0.95


def test_outlines_of_little_and_of_nothing():
    mask = torch.zeros(20, 30, dtype=torch.bool)
    assert mask_polygons(mask, 20, 30) == []
    mask[3, 4] = True  # a speck
    assert mask_polygons(mask, 20, 30) == []
    (frame,) = mask_polygons(torch.ones(20, 30, dtype=torch.bool), 20, 30)
    assert area(frame) == pytest.approx(600, rel=0.05)


def test_simplified_outline_stays_close():
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([50 + 30 * np.cos(angles), 40 + 20 * np.sin(angles) + np.cos(9 * angles)], 1)
    fewer = simplify(ring, 0.5)
    assert 8 < len(fewer) < 80
    start, end = fewer[None], np.roll(fewer, -1, axis=0)[None]
    along = np.clip(
        ((ring[:, None] - start) * (end - start)).sum(2) / ((end - start) ** 2).sum(2), 0, 1
    )
    distance = np.linalg.norm(start + along[..., None] * (end - start) - ring[:, None], axis=2).min(
        1
    )
    assert distance.max() <= 0.5 + 1e-9


def test_principal_components():
    features = np.random.default_rng(0).normal(size=(30, 6)) @ np.diag([5, 3, 1, 1, 1, 1]) + 7
    features[:, 1] += features[:, 0]
    features[:, 5] = 4  # tells nothing
    points, shares = principal_components(features)
    correlation = np.corrcoef(features[:, :5].T)
    np.testing.assert_allclose(shares, np.linalg.eigvalsh(correlation)[::-1][:2] / 5, rtol=1e-9)
    np.testing.assert_allclose(points.var(0) / 5, shares, rtol=1e-9)
    assert abs(points.mean(0)).max() < 1e-9


def test_pooled_features_leave_padding_out(tmp_path: Path):
    """64 x 80 pixels are padded to 64 x 96; the mean is over what shows the image."""
    for seed in range(3):
        write_image(tmp_path / f"{seed}.png", 64, 80, seed)
    detector, data = Detector(("car",), UNTRAINED).eval(), open_images(tmp_path)
    found = pooled_features(detector, data, [0, 2])
    assert found.shape == (2, 4 * 16)
    with torch.no_grad():
        maps = detector.features(detector.normalise([data.load(2).image]))
    shown = [
        maps[level][0, :, : 64 // stride, : -(-80 // stride)]
        for level, stride in zip("0123", (4, 8, 16, 32), strict=True)
    ]
    np.testing.assert_allclose(
        found[1], torch.cat([m.mean((1, 2)) for m in shown]).numpy(), rtol=1e-5
    )


def test_spread_out():
    assert spread_out(100, 3) == [0, 50, 99] or spread_out(100, 3) == [0, 49, 99]
    assert spread_out(2, 6) == [0, 1]
    assert spread_out(0, 6) == []


def test_figure_with_an_awkward_name():
    name = '$a_1$ <b>&"quoted"</b> --> 雾'
    figure = render(
        lambda axes: (
            axes.plot([0, 1], [1, 2], color=series_colour(9)) and axes.text(0, 1, name, color=INK)
        ),
        "a &amp; b",
    )
    assert "<b>" not in figure
    assert "$a_1$ &lt;b&gt;&amp;" in figure
    assert "雾" in figure
    assert "var(--s1)" in figure  # the ninth colour is the second again
    assert 'aria-label="a &amp; b"' in figure
