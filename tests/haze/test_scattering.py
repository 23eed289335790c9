"""The scattering model against its own definitions."""

import numpy as np
import pytest
import torch

from dmaskrcnn.haze import (
    add_haze,
    extinction,
    random_airlight,
    ray_length,
    recover,
    smooth_field,
    through_haze,
    transmission,
)

AIRLIGHT = (0.8, 0.82, 0.85)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_five_per_cent_of_the_light_are_left_at_the_visibility():
    depths = np.array([[40.0, 100.0, 1000.0]])
    for depth in depths[0]:
        assert transmission(depths, extinction(depth))[depths == depth] == pytest.approx(
            0.05, rel=1e-5
        )
    assert extinction(100) == pytest.approx(2.996 / 100, rel=1e-4)  # CIE, ICAO
    assert extinction(np.inf) == 0


@pytest.mark.parametrize("visibility", [0.0, -5.0, float("nan")])
def test_a_visibility_must_be_positive(visibility):
    with pytest.raises(ValueError, match="positive metres"):
        extinction(visibility)


def test_transmission_multiplies_along_the_way(rng):
    near, far = rng.uniform(0, 50, (4, 5)), rng.uniform(0, 50, (4, 5))
    np.testing.assert_allclose(
        transmission(near + far, 0.05),
        transmission(near, 0.05) * transmission(far, 0.05),
        rtol=1e-5,
    )
    assert transmission(near, 0.05).dtype == np.float32


def test_a_line_of_sight_is_longer_than_the_depth_off_the_axis():
    # a wall 10 m ahead, in a picture of 5 by 3 px with a focal length of 2 px
    way = ray_length(np.full((3, 5), 10.0), focal=2.0)
    assert way.dtype == np.float32
    assert way[1, 2] == 10
    assert way[1, 4] == pytest.approx(10 * np.sqrt(2))
    assert way[0, 0] == pytest.approx(10 * np.sqrt(1 + 1 + 0.25))
    np.testing.assert_array_equal(way, way[::-1, ::-1])
    sky = np.full((2, 2), np.inf, np.float32)
    np.testing.assert_array_equal(ray_length(sky, 2.0), sky)
    np.testing.assert_array_equal(ray_length(np.ones((4, 4)), np.inf), 1)


def test_transmission_of_the_sky_is_zero_in_haze_and_one_without():
    sky = np.full((2, 2), np.inf)
    assert (transmission(sky, 1e-3) == 0).all()
    assert (transmission(sky, 0.0) == 1).all()


def test_no_haze_changes_nothing(rng):
    image = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    depth = np.where(rng.random((6, 7)) < 0.3, np.inf, 20.0)
    np.testing.assert_array_equal(add_haze(image, depth, 0.0, AIRLIGHT, blur=2.0), image)


def test_infinitely_far_is_airlight(rng):
    image = rng.random((6, 7, 3), dtype=np.float32)
    hazy = add_haze(image, np.full((6, 7), np.inf), 0.01, AIRLIGHT)
    np.testing.assert_allclose(hazy, np.broadcast_to(AIRLIGHT, hazy.shape), rtol=1e-6)


def test_follows_koschmieder(rng):
    image, depth = rng.random((6, 7, 3), dtype=np.float32), rng.uniform(1, 80, (6, 7))
    t = np.exp(-0.04 * depth)[..., None]
    expected = image * t + np.array(AIRLIGHT) * (1 - t)
    np.testing.assert_allclose(add_haze(image, depth, 0.04, AIRLIGHT), expected, atol=1e-6)
    as_bytes = add_haze((image * 255).round().astype(np.uint8), depth, 0.04, AIRLIGHT)
    assert as_bytes.dtype == np.uint8
    np.testing.assert_allclose(as_bytes / 255, expected, atol=1.01 / 255)


def test_removing_undoes_adding(rng):
    image, depth = rng.random((6, 7, 3), dtype=np.float32), rng.uniform(1, 50, (6, 7))
    t, light = transmission(depth, 0.04)[..., None], np.array(AIRLIGHT, np.float32)
    hazy = through_haze(image, t, light)
    np.testing.assert_array_equal(hazy, add_haze(image, depth, 0.04, AIRLIGHT))
    np.testing.assert_allclose(recover(hazy, t, light), image, atol=1e-5)
    tensors = [torch.from_numpy(array) for array in (image, t, light)]
    np.testing.assert_allclose(through_haze(*tensors), hazy, atol=1e-6)
    np.testing.assert_allclose(recover(through_haze(*tensors), *tensors[1:]), image, atol=1e-5)
    uneven = through_haze(image, t, light, 1 + t)
    np.testing.assert_allclose(uneven, image * t + light * (1 + t) * (1 - t), atol=1e-6)


def test_patches_noise_and_glow(rng):
    image, depth = rng.random((40, 50, 3), dtype=np.float32), np.full((40, 50), 20.0)
    plain = add_haze(image, depth, 0.05, AIRLIGHT)
    patchy = add_haze(image, depth, 0.05, AIRLIGHT, inhomogeneity=0.3, rng=np.random.default_rng(1))
    again = add_haze(image, depth, 0.05, AIRLIGHT, inhomogeneity=0.3, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(patchy, again)
    assert np.abs(patchy - plain).mean() > 0.01
    assert add_haze(image, depth, 0.05, AIRLIGHT, blur=1.0).std() < plain.std()
    grey = np.full((40, 50, 3), 0.5, dtype=np.float32)
    noisy = add_haze(grey, depth, 0.0, AIRLIGHT, noise=0.02, rng=np.random.default_rng(1))
    assert noisy.std() == pytest.approx(0.02, rel=0.1)
    with pytest.raises(ValueError, match="pass rng"):
        add_haze(image, depth, 0.05, AIRLIGHT, noise=0.02)


@pytest.mark.parametrize("size", [(160, 224), (7, 300), (1, 9), (1, 1)])
def test_smooth_field_is_standardised_and_smooth(rng, size):
    field = smooth_field(rng, *size, cells=3)
    assert field.shape == size
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=1e-4)
    if min(size) > 100:
        assert field.std() == pytest.approx(1, abs=1e-3)
        assert np.abs(np.diff(field, axis=0)).max() < 0.1


def test_random_airlight_is_a_pale_grey(rng):
    lights = np.array([random_airlight(rng) for _ in range(200)])
    assert lights.min() > 0.5
    assert lights.max() < 0.95
    assert np.ptp(lights, axis=1).max() < 0.08
