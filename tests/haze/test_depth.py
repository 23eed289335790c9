"""Depth from geometry: against a pinhole camera written out here, and against the true depth of
rendered scenes."""

from __future__ import annotations

import numpy as np
import pytest

from dmaskrcnn.demo import CLASSES, render_scene
from dmaskrcnn.haze.depth import FAR, Ground, class_heights, fit_ground, object_depths, scene_depth

SIZE = (300, 400)
NONE = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def seen_by_a_pinhole(
    distances: np.ndarray, heights: np.ndarray, horizon: float, camera_height: float, focal: float
) -> np.ndarray:
    """Boxes of uprights that stand on the ground, one beside the other."""
    boxes = []
    for i, (z, height) in enumerate(zip(distances, heights, strict=True)):
        feet = horizon + focal * (camera_height - 0) / z
        head = horizon + focal * (camera_height - height) / z
        boxes.append([20 + 40 * i, head, 50 + 40 * i, feet])
    return np.array(boxes, dtype=np.float32)


@pytest.mark.parametrize(
    ("horizon", "camera_height"), [(110.0, 1.5), (60.0, 4.0), (150.0, 1.2), (20.0, 9.0)]
)
def test_the_ground_is_found_under_objects_of_known_height(horizon: float, camera_height: float):
    distances, heights = (
        np.array([14.0, 20.0, 28.0, 45.0, 60.0, 90.0]),
        np.array([1.5, 1.5, 3.0, 1.7, 1.5, 3.0]),
    )
    boxes = seen_by_a_pinhole(distances, heights, horizon, camera_height, focal=360.0)
    # a poster of a giant: an outlier
    boxes = np.concatenate([boxes, [[300, 40, 310, 290]]]).astype(np.float32)
    for seed in range(5):
        ground = fit_ground(
            boxes, np.append(heights, 1.7), SIZE, np.random.default_rng(seed), focal=360.0
        )
        assert abs(ground.horizon - horizon) < 0.02 * SIZE[0]
        assert ground.camera_height == pytest.approx(camera_height, rel=0.15)
        found = object_depths(boxes[:-1], heights, ground)
        np.testing.assert_allclose(found, distances, rtol=0.2)


def test_without_objects_the_ground_is_plausible_and_random():
    grounds = [fit_ground(*NONE, SIZE, np.random.default_rng(seed)) for seed in range(30)]
    horizons = [g.horizon / SIZE[0] for g in grounds]
    assert 0.35 <= min(horizons) < 0.38
    assert 0.47 < max(horizons) <= 0.5
    assert all(1.19 < g.camera_height < 2.51 and 0.8 <= g.focal / SIZE[1] <= 1.3 for g in grounds)
    assert fit_ground(*NONE, SIZE, np.random.default_rng(3)) == grounds[3]


def test_boxes_cut_by_the_border_and_unknown_classes_do_not_vote():
    boxes = np.array([[50, 0, 90, 299], [0, 100, 60, 280], [120, 20, 160, 290]], np.float32)
    heights = np.array([1.5, 1.5, np.nan])
    assert fit_ground(boxes, heights, SIZE, np.random.default_rng(1)) == fit_ground(
        *NONE, SIZE, np.random.default_rng(1)
    )


def test_rendered_streets_have_the_depth_that_geometry_finds():
    """Up to one factor per picture, which is the unknown focal length."""
    errors, far = [], []
    for seed in range(12):
        scene = render_scene(seed)
        heights = class_heights(CLASSES)[scene.labels]
        ground = fit_ground(scene.boxes, heights, (160, 224), np.random.default_rng(seed))
        depths = object_depths(scene.boxes, heights, ground)
        ratio = np.log(depths / scene.distances)
        errors += list(np.abs(ratio - np.median(ratio)))
        depth = scene_depth(scene.boxes, depths, list(scene.masks), ground, (160, 224))
        lowest = slice(130, 160)  # ground and objects only
        pixels = np.log(depth[lowest] / scene.depth[lowest])
        far.append(np.median(np.abs(pixels - np.median(pixels))))
    assert np.mean(errors) < 0.1
    assert np.mean(far) < 0.15


def test_ground_depth_is_that_of_a_flat_ground():
    ground = Ground(horizon=100.0, camera_height=1.5, focal=400.0)
    depth = scene_depth(np.zeros((0, 4)), np.zeros(0), [], ground, (200, 3))
    assert depth.dtype == np.float32
    assert (depth[:100] > 0.999 * FAR).all()
    assert depth[199, 0] == pytest.approx(1.5 * 400 / 99.5, rel=1e-5)
    assert (np.diff(depth[100:, 1]) < 0).all()


def test_near_objects_cover_far_ones_and_masks_are_kept():
    ground = Ground(horizon=20.0, camera_height=1.5, focal=100.0)
    boxes = np.array([[10, 30, 40, 90], [20, 10, 60, 70]], np.float32)
    masks = [np.zeros((100, 100), bool) for _ in boxes]
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    depths = np.array([2.0, 3.0])  # nearer than the ground behind them
    for order in ([0, 1], [1, 0]):
        depth = scene_depth(
            boxes[order], depths[order], [masks[i] for i in order], ground, (100, 100)
        )
        assert (depth[masks[0]] == 2).all()
        assert (depth[masks[1] & ~masks[0]] == 3).all()
        assert (depth[:20][~masks[1][:20]] > 0.999 * FAR).all()


def test_a_box_without_mask_shows_no_rectangle():
    ground = Ground(horizon=60.0, camera_height=1.5, focal=200.0)
    depth = scene_depth(np.array([[40, 10, 120, 110]]), np.array([6.0]), [None], ground, (160, 160))
    inverse = 1 / depth
    assert depth[60:100, 75:85] == pytest.approx(6.0, rel=1e-3)
    assert depth[12, 42] > 4 * 6  # the corners of the box are not the object
    rim = np.abs(np.diff(inverse[60])).max(), np.abs(np.diff(inverse[:, 80])[:100]).max()
    assert max(rim) < 0.35 / 6  # no step between neighbours is the whole way from far to near


def test_what_is_hidden_or_above_the_horizon_has_a_distance():
    ground = Ground(horizon=100.0, camera_height=1.5, focal=400.0)
    boxes = np.array([[0, 50, 20, 90], [0, 0, 9, 101.0], [5, 5, 6, 6]], np.float32)
    depths = object_depths(boxes, np.array([1.5, 1.5, np.nan], np.float32), ground)
    assert depths.dtype == np.float32
    assert depths[0] == pytest.approx(400 * 1.5 / 40 / 0.7, rel=1e-5)  # from its height
    # its foot, on the horizon, is hidden
    assert depths[1] == pytest.approx(400 * 1.5 / 101 / 0.7, rel=1e-5)
    assert 0 < depths[2] <= FAR


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2)])
def test_the_smallest_pictures(size: tuple[int, int]):
    boxes = np.array([[0, 0, size[1], size[0]]], np.float32)
    ground = fit_ground(boxes, np.array([1.5]), size, np.random.default_rng(0))
    for masks in ([None], [np.ones(size, bool)]):
        depth = scene_depth(
            boxes, object_depths(boxes, np.array([1.5]), ground), masks, ground, size
        )
        assert depth.shape == size
        assert ((depth > 0) & (depth <= FAR)).all()


def test_heights_are_known_by_name():
    heights = class_heights(("car", "unicorn", "person"))
    assert heights.dtype == np.float32
    assert heights[0] == 1.5
    assert np.isnan(heights[1])
