"""What photographs of fog hold besides fog: blocks of colour in the sky, lamps, burnt-in bars."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from quality import psnr
from torch import Tensor

from dmaskrcnn.dehazing import Dehazer, dehaze
from dmaskrcnn.dehazing.bars import bar_heights
from dmaskrcnn.dehazing.dark_channel import dark_channel
from dmaskrcnn.dehazing.dehazer import METHODS
from dmaskrcnn.dehazing.guards import steady_airlight
from dmaskrcnn.errors import UserError
from dmaskrcnn.haze import smooth_field

ROBUST = [name for name in METHODS if name.endswith("-robust")]
SIZE = (120, 160)


def fog(seed: int = 0, sky: float = 0.5) -> Tensor:
    """A dark street under a bright sky, both in fog and uneven, with JPEG's blocks of colour."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, 1, SIZE[0])[:, None]
    t = np.clip(rows - sky, 0.02, 1)[..., None] * np.ones((1, SIZE[1], 1))
    street = 0.3 + 0.1 * rng.standard_normal((*SIZE, 1)).repeat(3, 2)
    blocks = rng.normal(0, 3 / 255, (1 + SIZE[0] // 16, SIZE[1] // 16, 3))
    blocks = blocks.repeat(16, 0).repeat(16, 1)[: SIZE[0]]
    light = np.array([0.72, 0.73, 0.74]) + 0.01 * smooth_field(rng, *SIZE, cells=3)[..., None]
    image = street * t + light * (1 - t) + blocks
    return torch.from_numpy((255 * image).round().clip(0, 255).astype(np.uint8)).permute(2, 0, 1)


def with_bar(image: Tensor, height: int = 14, below: bool = False, colour: int = 255) -> Tensor:
    """A bar with writing in it, in place of rows of the picture."""
    bar = torch.full((3, height, image.shape[2]), colour, dtype=torch.uint8)
    bar[:, 4:-4, 8:80:3] = 0
    image = image.clone()
    image[:, -height if below else 0 :][:, :height] = bar
    return image


def colourfulness(image: Tensor) -> float:
    """How far apart the channels are in the sky, of 255."""
    sky = image[:, : SIZE[0] // 2].float()
    return float((sky.amax(0) - sky.amin(0)).mean())


@pytest.mark.parametrize("method", ROBUST)
def test_blocks_of_colour_in_the_sky_stay_faint_where_the_published_method_paints_them(
    method: str,
) -> None:
    hazy = fog()
    published, robust = dehaze(hazy, method.removesuffix("-robust")), dehaze(hazy, method)
    assert colourfulness(published) > 1.8 * colourfulness(hazy)
    assert colourfulness(robust) < 1.2 * colourfulness(hazy)
    street = np.s_[:, -20:]  # and yet haze is removed
    assert robust[street].float().mean() < hazy[street].float().mean() - 10


def test_the_airlight_is_neither_a_lamp_nor_a_white_label() -> None:
    plain = fog().float()[None] / 255
    lamp = plain.clone()
    lamp[..., 10:40, 20:70] = 1  # wider than the minimum filter, more than the share
    lamp[..., 50:80, 60:90] = 1
    lamp[..., :5, :] = 1  # rows whose windows hold the sky as well
    found = [steady_airlight(image, dark_channel(image)) for image in (plain, lamp)]
    assert (found[0] - torch.tensor([0.72, 0.73, 0.74])).abs().max() < 0.03
    assert (found[1] - found[0]).abs().max() < 0.03
    # but where nothing else is there, it is white
    white = torch.ones(1, 3, 20, 20)
    assert steady_airlight(white, dark_channel(white)).min() == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("below", [False, True])
def test_a_burnt_in_bar_is_left_alone_and_not_looked_at(method: str, below: bool) -> None:
    image = fog()
    barred = with_bar(image, below=below)
    rest, bar = np.s_[:, : SIZE[0] - 14], np.s_[:, SIZE[0] - 14 :]
    if not below:
        rest, bar = np.s_[:, 14:], np.s_[:, :14]
    clear, maps = dehaze(barred, method, return_maps=True)
    assert torch.equal(clear[bar], barred[bar])
    assert torch.equal(clear[rest], Dehazer(method, ignore_rows=(0, 0))(image[rest])[0])
    for value in maps.values():
        if value.ndim == 3:
            assert value.shape[1:] == image.shape[1:]
            assert (value[bar] == 1).all()


def test_the_bars_of_a_batch_are_each_picture_s_own() -> None:
    dehazer = Dehazer("dark-channel")
    batch = torch.stack([fog(), with_bar(fog(1)), with_bar(fog(2), below=True)])
    whole, maps = dehazer(batch)
    for i, image in enumerate(batch):
        single, own = dehazer(image)
        assert torch.equal(whole[i], single)
        assert torch.equal(maps["transmission"][i], own["transmission"])


def test_bars_are_told_from_skies() -> None:
    def bars(image: Tensor) -> tuple[int, int]:
        return bar_heights(image.float() / 255)

    image = fog()
    assert bars(image) == (0, 0)
    assert bars(with_bar(image)) == (14, 0)
    assert bars(with_bar(image, below=True, colour=230)) == (0, 14)
    # scaled, as the teacher sees it, with a bar of grey
    small = torch.nn.functional.interpolate(
        with_bar(image, 20, colour=235)[None].float(), scale_factor=0.73, mode="bilinear"
    )[0]
    assert bars(small)[0] in (14, 15)
    assert bars(with_bar(image, colour=0)) == (0, 0)  # nothing takes black for haze
    gradient = torch.linspace(140, 230, SIZE[0])[None, :, None].expand(3, -1, SIZE[1])
    assert bars(gradient) == bars(gradient.flip(1)) == (0, 0)
    overexposed = (2 * image.int()).clamp(max=255)
    assert bars(overexposed) == (0, 0)
    assert bars(torch.full((3, 40, 40), 255)) == (0, 0)


def test_rows_to_ignore() -> None:
    image = fog()
    for rows, (top, bottom) in {
        (10, 0): (10, 0),
        (0.1, 0.25): (12, 30),
        (0.0, 3.0): (0, 3),
    }.items():
        clear = Dehazer(ignore_rows=rows)(image)[0]
        inner = np.s_[:, top : SIZE[0] - bottom]
        assert torch.equal(clear[:, :top], image[:, :top])
        assert torch.equal(clear[:, SIZE[0] - bottom :], image[:, SIZE[0] - bottom :])
        assert torch.equal(clear[inner], dehaze(image[inner]))
    barred = with_bar(image)
    assert not torch.equal(Dehazer(ignore_rows=(0, 0))(barred)[0], dehaze(barred))
    with pytest.raises(UserError, match=r"--ignore-rows must be 0 or more, got -1 0"):
        Dehazer(ignore_rows=(-1, 0))
    with pytest.raises(UserError, match=r"--ignore-rows: 100 and 20 of 120 rows leave nothing"):
        Dehazer(ignore_rows=(100, 20))(image)


@pytest.mark.parametrize("method", ROBUST)
def test_the_guards_cost_no_quality_where_haze_is_of_the_model(method: str, street) -> None:
    hazy, clear = street
    published = psnr(dehaze(hazy, method.removesuffix("-robust")), clear)
    assert psnr(dehaze(hazy, method), clear) > published - 1.5
