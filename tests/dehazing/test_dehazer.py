"""``dehaze``: dark channel and the published pipeline, shapes and dtypes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dehazing_cases import plain_guided_filter
from quality import psnr
from scipy.ndimage import minimum_filter as scipy_minimum

import dmaskrcnn
from dmaskrcnn.config.dehazers import DEHAZERS, NETWORKS
from dmaskrcnn.dehazing import Dehazer, dehaze, draw_maps
from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.dehazer import METHODS
from dmaskrcnn.dehazing.mscnn import MSCNN
from dmaskrcnn.dehazing.pretrained import save_weights, shipped_weights
from dmaskrcnn.errors import UserError
from dmaskrcnn.haze.filters import guided_filter


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    """A weights file for each method."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_weights(MSCNN(), folder / "mscnn.safetensors", {})
    save_weights(AODNet(), folder / "aod.safetensors", {})
    files = {"mscnn": folder / "mscnn.safetensors", "aod-net": folder / "aod.safetensors"}
    return {name: files.get(method.network) for name, method in DEHAZERS.items()}


# --- methods against the formulas -----------------------------------------------------------------


def test_dark_channel_prior_follows_the_paper(street) -> None:
    hazy = street[0].double().numpy() / 255
    dark = scipy_minimum(hazy.min(axis=0), 15, mode="reflect")
    haziest = np.argsort(dark.ravel())[-round(0.001 * dark.size) :]
    values = hazy.reshape(3, -1)[:, dark.ravel() >= dark.ravel()[haziest].min()]
    _, maps = dehaze(street[0], "dark-channel", return_maps=True)
    airlight = maps["airlight"].double().numpy()
    # one of the haziest pixels (ties are broken by chance)
    assert np.abs(values.T - airlight).max(axis=1).min() < 1e-6
    transmission = 1 - 0.95 * scipy_minimum(
        (hazy / airlight[:, None, None]).min(axis=0), 15, mode="reflect"
    )
    luma = 0.2989 * hazy[0] + 0.5870 * hazy[1] + 0.1140 * hazy[2]
    ours = guided_filter(
        torch.from_numpy(luma)[None, None], torch.from_numpy(transmission)[None, None], 60, 1e-3
    )
    np.testing.assert_allclose(
        maps["transmission"][0].numpy(), ours[0, 0].clamp(0.1, 1).numpy(), atol=1e-5
    )


def test_mscnn_pipeline_follows_the_reference(street, weights) -> None:
    """Steps 1, 2, 5 and 6 of the published pipeline around the networks, in NumPy."""
    image = street[0][:, 30:66, 20:70]
    hazy = image.double().numpy() / 255
    airlight = np.array([scipy_minimum(channel, 15, mode="reflect").max() for channel in hazy])
    light = airlight[:, None, None]
    dehazer = Dehazer("mscnn", weights["mscnn"])
    assert isinstance(dehazer.network, MSCNN)
    with torch.no_grad():
        t = dehazer.network(torch.from_numpy(hazy / light).float()[None])[1][0, 0].double().numpy()
    coefficients = np.array([0.2989, 0.5870, 0.1140])
    luma = np.tensordot(coefficients, hazy, 1)
    d = luma - coefficients @ airlight
    s = (d**2 + 0.1 / t) / (d**2 + 0.1)
    t = (1 / plain_guided_filter(luma, s, min(hazy.shape[1:]) // 8, 0.04)).clip(0.1, 0.9)
    clear, maps = dehazer(image.float() / 255)
    np.testing.assert_allclose(maps["airlight"].numpy(), airlight, atol=1e-6)
    np.testing.assert_allclose(maps["transmission"][0].numpy(), t, atol=1e-4)
    np.testing.assert_allclose(clear.numpy(), ((hazy - light) / t + light).clip(0, 1), atol=1e-3)


def test_dark_channel_brings_a_hazy_street_closer_to_the_clear_one(street) -> None:
    hazy, clear = street
    error = [
        float((image.float() - clear.float()).square().mean())
        for image in (hazy, dehaze(hazy, "dark-channel"), dehaze(hazy))
    ]
    assert error[1] < 0.5 * error[0]
    assert error[2] < 0.5 * error[0]  # the robust one, by default


@pytest.mark.parametrize("network", NETWORKS)
def test_shipped_weights_are_small_described_and_work(network: str, street) -> None:
    file = shipped_weights(network)
    assert file.stat().st_size < 300_000
    assert json.loads(file.with_suffix(".json").read_text())["method"] == network
    hazy, clear = street
    assert psnr(dehaze(hazy, network), clear) > psnr(hazy, clear) + 2


# --- shapes, dtypes, bad input --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dark-channel", "dark-channel-robust"])
def test_quick_is_nearly_the_same(method: str, street) -> None:
    hazy = street[0]
    whole, quick = (Dehazer(method, quick=q)(hazy)[0].float() for q in (False, True))
    assert 0 < (whole - quick).abs().mean() < 2
    tiny = hazy[..., :3, :40]
    assert torch.equal(Dehazer(method, quick=True)(tiny)[0], Dehazer(method)(tiny)[0])


@pytest.mark.parametrize("method", METHODS)
def test_batches_equal_single_images_and_dtypes_are_kept(method: str, street, weights) -> None:
    batch = torch.stack([street[0], street[1].flip(-1)])
    dehazer = Dehazer(method, weights[method])
    whole, maps = dehazer(batch)
    assert whole.dtype == torch.uint8
    assert whole.shape == batch.shape
    for i, image in enumerate(batch):
        single, own = dehazer(image)
        assert (single.int() - whole[i].int()).abs().max() <= 1
        assert {k: v.shape for k, v in own.items()} == {k: v.shape[1:] for k, v in maps.items()}
    for dtype, tolerance in ((torch.float32, 0.51), (torch.float64, 0.51), (torch.float16, 0.7)):
        floats = dehazer((batch / 255).to(dtype))[0]
        assert floats.dtype == dtype
        assert (floats.float() * 255 - whole.float()).abs().max() < tolerance + 0.6
    assert dehazer(batch[:0])[0].shape == (0, *batch.shape[1:])
    assert dehaze(street[0], method, weights[method]).shape == street[0].shape


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (7, 5)])
def test_tiny_and_uniform_images(method: str, size: tuple[int, int], weights) -> None:
    dehazer = Dehazer(method, weights[method])
    for value in (0, 128, 255):
        image = torch.full((3, *size), value, dtype=torch.uint8)
        result, maps = dehazer(image)
        assert result.shape == image.shape
        assert all(bool(part.isfinite().all()) for part in maps.values())
        if "airlight" in maps:  # everything is airlight: nothing to remove
            assert (result.int() - image.int()).abs().max() <= 1


def test_every_name_has_its_method() -> None:
    assert list(METHODS) == list(DEHAZERS)
    assert NETWORKS == ("mscnn", "aod-net")


def test_bad_arguments(street, weights, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"method: 'fog' is none; choose from dark-channel"):
        dehaze(street[0], "fog")
    with pytest.raises(UserError, match="dark-channel-robust has none"):
        dehaze(street[0], weights=weights["mscnn"])
    for image in (
        torch.zeros(1, 8, 8),
        torch.zeros(8, 8),
        torch.zeros(3, 0, 8),
        torch.zeros(3, 8, 8, dtype=torch.int32),
    ):
        with pytest.raises(UserError, match="image: expected"):
            dehaze(image)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", METHODS)
def test_gpu_equals_cpu(method: str, street, weights) -> None:
    ours = dehaze(street[0], method, weights[method], device="cuda")
    assert ours.device.type == "cuda"
    assert (ours.cpu().int() - dehaze(street[0], method, weights[method]).int()).abs().max() <= 1


def test_maps_are_drawn(street, weights) -> None:
    for method in METHODS:
        clear, maps = dehaze(street[0], method, weights[method], return_maps=True)
        picture = draw_maps(street[0], clear, maps)
        assert picture.mode == "RGB"
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 1000
    assert dmaskrcnn.dehaze is dehaze
