"""Haze as one number: against haze that was put in, and the formulas taken literally."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import minimum_filter
from scipy.stats import spearmanr

from dmaskrcnn.demo import render_scene
from dmaskrcnn.haze import add_haze, extinction, random_airlight
from dmaskrcnn.haze.gauge import haziness

VISIBILITIES = (1000.0, 300.0, 100.0, 30.0, 10.0)


@pytest.fixture(scope="module")
def hazes() -> np.ndarray:
    """Of 8 scenes, clear and at falling visibilities: ``(8, 6)``."""
    found = []
    for seed in range(8):
        scene = render_scene(300 + seed, 96, 128)
        airlight = random_airlight(np.random.default_rng(seed))
        behind = [add_haze(scene.image, scene.depth, extinction(v), airlight) for v in VISIBILITIES]
        found.append([haziness(picture) for picture in (scene.image, *behind)])
    return np.array(found)


def test_more_haze_is_a_larger_number_in_every_scene(hazes):
    assert (np.diff(hazes, axis=1) > 0).all()
    assert 0 <= hazes.min() < hazes.max() <= 1


def test_scenes_rank_by_their_visibility(hazes):
    order = np.broadcast_to(np.arange(hazes.shape[1]), hazes.shape)
    assert spearmanr(order.ravel(), hazes.ravel()).statistic > 0.9
    assert hazes[:, 0].max() < 0.5 < hazes[:, 4].min()


def test_it_is_the_mean_of_both_formulas():
    scene = render_scene(3, 96, 128)
    image = add_haze(scene.image, scene.depth, 0.02, (0.8, 0.82, 0.85))
    assert image.max() <= 250  # nothing saturated
    dark = minimum_filter(image.min(axis=2), 7)
    most = np.sort(dark.ravel())[-round(0.01 * dark.size)]
    light = np.median(image[dark >= most], axis=0)
    veil = minimum_filter(np.minimum(image / light, 1).min(axis=2), 7).mean()
    luma = image @ [0.299, 0.587, 0.114] / 255
    blocks = [luma[y : y + 8, x : x + 8] for y in range(0, 96, 8) for x in range(0, 128, 8)]
    contrast = np.mean([block.std() / (block.mean() + 0.02) for block in blocks])
    assert haziness(image) == pytest.approx((veil + 1 - contrast / 0.3) / 2, abs=0.01)


def test_arrays_and_tensors_alike(street):
    array = street[0].permute(1, 2, 0).numpy()
    assert haziness(street[0]) == haziness(array)


def test_size_hardly_matters():
    scene = render_scene(4, 192, 256)
    image = add_haze(scene.image, scene.depth, 0.03, (0.8, 0.8, 0.8))
    large = image.repeat(4, axis=0).repeat(4, axis=1)
    assert haziness(large) == pytest.approx(haziness(image), abs=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2), (5, 3), (8, 8), (9, 600)])
def test_any_size(shape):
    grey = np.full((*shape, 3), 200, np.uint8)
    assert haziness(grey) == pytest.approx(1.0, abs=0.01)  # nothing but haze, for all that shows
    assert haziness(np.zeros_like(grey)) <= 0.5  # a black frame: no veil


def test_a_bar_with_the_time_is_not_the_airlight():
    scene = render_scene(5, 96, 128)
    image = add_haze(scene.image, scene.depth, 0.03, (0.75, 0.75, 0.75))
    barred = image.copy()
    barred[:4] = 255
    assert haziness(barred) == pytest.approx(haziness(image), abs=0.04)


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_what_is_no_picture(wrong):
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\)"):
        haziness(wrong)
