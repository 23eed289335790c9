"""The air of hazy pictures: measured right, and found again in what is put behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn, idctn

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.haze.air import EVENNESS, WAVES, Air, cosines
from dmaskrcnn.haze.random_haze import HazeAugment
from dmaskrcnn.training.feed import Feed
from dmaskrcnn.training.inputs import make_batches, open_data, target_airs
from dmaskrcnn.training.progress import StopSignal


def fog(
    colour: tuple[float, float, float] = (0.8, 0.7, 0.6),
    noise: float = 0.0,
    slope: float = 0.0,
    size: tuple[int, int] = (120, 160),
) -> torch.Tensor:
    """Nothing but airlight, darker by ``slope`` towards the ground, with noise."""
    rng = np.random.default_rng(0)
    falling = 1 - slope * np.linspace(0, 1, size[0])[:, None]
    picture = np.array(colour)[:, None, None] * falling + noise * rng.standard_normal(size)
    return torch.from_numpy((255 * picture).round().clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("noise", [0.004, 0.01, 0.03])
def test_airlight_and_noise_are_what_was_put_in(noise: float):
    air = Air.of(fog(noise=noise))
    assert air.airlight == pytest.approx([0.8, 0.7, 0.6], abs=0.02 + 2 * noise)
    assert air.noise == pytest.approx(noise, rel=0.1)
    assert air.waves[0, 0] == pytest.approx(1, abs=0.02 + 3 * noise)
    assert np.abs(air.waves).sum() - air.waves[0, 0] < 0.02


def test_edges_and_gradients_are_no_noise():
    still = fog(slope=0.5)
    still[:, 60:, 80:] = 20
    assert Air.of(still).noise < 0.002  # the rounding to 8 bits


def test_the_veil_is_the_lowest_waves_of_the_picture():
    """SciPy's DCT-II is the reference, where all of the picture is opaque."""
    height, width = 24, 32  # nothing to reduce
    brightness = np.zeros((height, width))
    brightness[0, 0], brightness[1, 0], brightness[0, 2], brightness[2, 1] = 1, 0.03, -0.02, 0.01
    grey = idctn(brightness * height * width, type=2, norm="ortho") / np.sqrt(height * width)
    grey *= 0.7 / grey.max()
    air = Air.of(torch.from_numpy((255 * grey[None].repeat(3, 0)).round().astype(np.uint8)))
    scale = np.where(np.arange(WAVES) == 0, 1, 2)
    expected = dctn(grey / air.airlight.mean(), type=2)[:WAVES, :WAVES]
    expected *= np.outer(scale, scale) / (4 * grey.size)
    assert air.waves == pytest.approx(expected, abs=0.01)


def test_what_stands_before_the_veil_does_not_darken_it():
    bare, before = fog(), fog()
    before[:, 60:, 40:120] = 15
    veil, seen = (Air.of(picture).evenness(120, 160, flip=False) for picture in (bare, before))
    assert float((seen - veil).abs().max()) < 0.1


def test_evenness_falls_as_the_picture_does_and_can_be_mirrored():
    across = fog(slope=0.3).movedim(1, 2).contiguous()  # darker towards the right
    air = Air.of(across)
    field, mirrored = air.evenness(60, 80, flip=False), air.evenness(60, 80, flip=True)
    truth = np.interp(np.linspace(0, 1, 80), [0, 1], [1, 0.7])
    assert field.mean(0).numpy() == pytest.approx(truth, abs=0.05)
    assert torch.equal(mirrored, field.flip(1))
    far = replace(air, waves=np.array([[0.9, 3.0, 0, 0], *[[0.0] * 4] * 3], np.float32))
    steep = far.evenness(60, 80, flip=False)
    assert (float(steep.min()), float(steep.max())) == pytest.approx(EVENNESS)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 2), (3, 300)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_smallest_and_the_darkest_pictures_have_an_air(size: tuple[int, int], level: int):
    air = Air.of(torch.full((3, *size), level, dtype=torch.uint8))
    assert np.isfinite(air.waves).all()
    assert np.isfinite(air.noise)
    white = torch.full((3, 20, 30), 255, dtype=torch.uint8)
    hazy = HazeAugment(1.0, (), (air,))(white, None, np.random.default_rng(0))
    assert hazy.shape == white.shape


def test_cosines_are_orthogonal():
    waves = cosines(50)
    product = waves @ waves.T / 50
    assert product == pytest.approx(np.diag([1, 0.5, 0.5, 0.5]), abs=1e-6)


def test_haze_has_the_airlight_and_the_noise_of_its_air():
    airs = (Air.of(fog(noise=0.002)), Air.of(fog((0.3, 0.35, 0.4), noise=0.02)))
    white = torch.full((3, 120, 160), 255, dtype=torch.uint8)
    seen = []
    for seed in range(12):
        hazy = HazeAugment(1.0, (), airs)(white, None, np.random.default_rng(seed))
        air = Air.of(hazy)
        nearest = min(airs, key=lambda a: abs(a.airlight - air.airlight).sum())
        assert hazy[:, :20].float().mean((1, 2)) / 255 == pytest.approx(nearest.airlight, abs=0.06)
        assert air.noise == pytest.approx(nearest.noise, rel=0.2, abs=0.0005)
        seen.append(nearest is airs[0])
    assert 0 < sum(seen) < len(seen)


# --- in the training ------------------------------------------------------------------------------


def test_the_air_is_that_of_the_target_unless_asked_otherwise(
    tiny: Callable[..., TrainConfig], hazy: Path
):
    """In a burn-in without target images, too, and for a method that has none otherwise."""
    config = tiny(haze_augment=1.0, workers=0)
    assert config.haze_air == "target"
    assert tiny(haze_augment=1.0, haze_air="any").haze_air == "any"
    plain = tiny(method="source", haze_augment=1.0)
    assert plain.haze_air == "any"
    told = tiny(method="source", haze_augment=1.0, target=(hazy,))
    source, target = open_data(told)
    assert target is not None
    airs = target_airs(told, target)
    assert len(airs) == len(target)
    assert not target_airs(tiny(haze_augment=1.0, haze_air="any"), target)
    assert not target_airs(tiny(target=(hazy,)), target)  # no haze

    feed = Feed(told, source, target, torch.device("cpu"), {})
    stop = StopSignal()
    (batch,) = feed.take(told.phases[0], 0, stop)
    feed.close()
    with_air = make_batches(told, source, None, airs=airs)[0]
    without = make_batches(told, source, None)[0]
    for one, other, any_air in zip(batch.source, with_air.source, without.source, strict=True):
        assert torch.equal(one.image, other.image)
        assert not torch.equal(one.image, any_air.image)


def test_broken_target_pictures_have_no_air(
    tiny: Callable[..., TrainConfig], hazy: Path, tmp_path: Path
):
    for number, file in enumerate(sorted(hazy.rglob("*.png"))[:3]):
        Image.open(file).convert("RGB").save(tmp_path / f"{number}.png")
    config = tiny(haze_augment=1.0, target=(tmp_path,))
    _, target = open_data(config)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    assert len(target_airs(config, target)) == 2


def test_the_target_must_be_there(tiny: Callable[..., TrainConfig]):
    with pytest.raises(UserError, match="--haze-air target needs --target"):
        tiny(method="source", haze_augment=0.5, haze_air="target")
    tiny(method="source", haze_air="target")  # no haze, no air
