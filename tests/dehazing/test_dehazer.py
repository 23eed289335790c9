"""``dehaze``: filters, dark channel, the published pipeline, shapes and dtypes, folders,
training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import minimum_filter as scipy_minimum

import dmaskrcnn
from dmaskrcnn.cli.main import main
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing import METHODS, Dehazer, dehaze, draw_maps, mscnn, synthesis
from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.mscnn import MSCNN
from dmaskrcnn.dehazing.pretrained import NETWORKS, save_weights, shipped_weights
from dmaskrcnn.dehazing.quality import psnr
from dmaskrcnn.dehazing.synthesis import photographs, random_pair
from dmaskrcnn.dehazing.train_dehazer import loss, optimise, train_dehazer
from dmaskrcnn.demo import render_scene
from dmaskrcnn.demo.scenes import rendered_pictures
from dmaskrcnn.errors import UserError
from dmaskrcnn.haze import add_haze
from dmaskrcnn.haze.filters import box_mean, grey, guided_filter, minimum_filter
from dmaskrcnn.images.dehaze import dehaze_images

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    """A weights file for each method."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_weights(MSCNN(), folder / "mscnn.safetensors", {})
    save_weights(AODNet(), folder / "aod.safetensors", {})
    both = folder / "mscnn.safetensors"
    return {
        "dark-channel": None,
        "mscnn": both,
        "mscnn-released": both,
        "aod-net": folder / "aod.safetensors",
    }


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A rendered street, hazy and clear, uint8 ``(3, H, W)``."""
    drawn = render_scene(5, 96, 128)
    hazy = add_haze(drawn.image, np.minimum(drawn.depth, 200), 0.04, (0.85, 0.86, 0.88))
    return torch.from_numpy(hazy).permute(2, 0, 1), torch.from_numpy(drawn.image).permute(2, 0, 1)


# --- filters --------------------------------------------------------------------------------------


def plain_guided_filter(guide: Array, image: Array, radius: int, epsilon: float) -> Array:
    """He et al. 2010, word for word: a linear fit per window, and at each pixel the mean of the
    windows that hold it."""
    height, width = guide.shape
    windows = [
        [
            (slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1))
            for x in range(width)
        ]
        for y in range(height)
    ]
    slope, offset = np.empty(guide.shape), np.empty(guide.shape)
    for y in range(height):
        for x in range(width):
            i, p = guide[windows[y][x]], image[windows[y][x]]
            slope[y, x] = ((i * p).mean() - i.mean() * p.mean()) / (i.var() + epsilon)
            offset[y, x] = p.mean() - slope[y, x] * i.mean()
    means = [[(slope[w].mean(), offset[w].mean()) for w in row] for row in windows]
    return np.array(
        [[a * guide[y, x] + b for x, (a, b) in enumerate(row)] for y, row in enumerate(means)]
    )


@pytest.mark.parametrize(("radius", "epsilon"), [(0, 0.1), (2, 1e-3), (5, 1e-6), (40, 0.04)])
def test_guided_filter(radius: int, epsilon: float) -> None:
    rng = np.random.default_rng(radius)
    guide, image = (rng.random((11, 17)).astype(np.float32) for _ in range(2))
    expected = plain_guided_filter(guide.astype(float), image.astype(float), radius, epsilon)
    ours = guided_filter(
        torch.from_numpy(guide)[None, None], torch.from_numpy(image)[None, None], radius, epsilon
    )
    np.testing.assert_allclose(ours[0, 0].numpy(), expected, atol=2e-6)


def test_guided_filter_keeps_its_digits_where_the_guide_is_flat() -> None:
    """A variance of 1e-8 beside a mean of 1: float32 sums would lose it."""
    guide = 1 + 1e-4 * torch.from_numpy(np.random.default_rng(0).standard_normal((40, 300)))
    image = torch.rand(40, 300, dtype=torch.float64)
    ours = guided_filter(guide[None, None], image[None, None], 4, 1e-8)[0, 0]
    rows = slice(15, 25)
    expected = plain_guided_filter(guide[:, 100:140].numpy(), image[:, 100:140].numpy(), 4, 1e-8)
    np.testing.assert_allclose(ours[rows, 115:125].numpy(), expected[rows, 15:25], atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 7, 15])
def test_minimum_filter_has_symmetric_borders(size: int) -> None:
    image = np.random.default_rng(size).random((2, 3, 9, 21)).astype(np.float32)
    # SciPy's "reflect" is MATLAB's "symmetric"
    expected = scipy_minimum(image, (1, 1, size, size), mode="reflect")
    np.testing.assert_array_equal(minimum_filter(torch.from_numpy(image), size).numpy(), expected)


def test_box_mean_of_a_constant_is_the_constant() -> None:
    np.testing.assert_allclose(
        box_mean(torch.full((1, 1, 7, 3), 0.3, dtype=torch.float64), 5).numpy(), 0.3, rtol=1e-12
    )


# --- methods against the formulas -----------------------------------------------------------------


def test_dark_channel_prior_follows_the_paper(scene) -> None:
    hazy = scene[0].double().numpy() / 255
    dark = scipy_minimum(hazy.min(axis=0), 15, mode="reflect")
    haziest = np.argsort(dark.ravel())[-round(0.001 * dark.size) :]
    values = hazy.reshape(3, -1)[:, dark.ravel() >= dark.ravel()[haziest].min()]
    _, maps = dehaze(scene[0], return_maps=True)
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


def test_mscnn_pipeline_follows_the_reference(scene, weights) -> None:
    """Steps 1, 2, 5 and 6 of the published pipeline around the networks, in NumPy."""
    image = scene[0][:, 30:66, 20:70]
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


def test_dark_channel_brings_a_hazy_street_closer_to_the_clear_one(scene) -> None:
    hazy, clear = scene
    error = [
        float((image.float() - clear.float()).square().mean()) for image in (hazy, dehaze(hazy))
    ]
    assert error[1] < 0.5 * error[0]


@pytest.mark.parametrize("network", NETWORKS)
def test_shipped_weights_are_small_described_and_work(network: str, scene) -> None:
    file = shipped_weights(network)
    assert file.stat().st_size < 300_000
    assert json.loads(file.with_suffix(".json").read_text())["method"] == network
    hazy, clear = scene
    assert psnr(dehaze(hazy, network), clear) > psnr(hazy, clear) + 2


# --- shapes, dtypes, bad input --------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_batches_equal_single_images_and_dtypes_are_kept(method: str, scene, weights) -> None:
    batch = torch.stack([scene[0], scene[1].flip(-1)])
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
    assert dehaze(scene[0], method, weights[method]).shape == scene[0].shape


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


def test_bad_arguments(scene, weights, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"method: 'fog' is none; choose from dark-channel"):
        dehaze(scene[0], "fog")
    with pytest.raises(UserError, match="dark-channel has none"):
        dehaze(scene[0], weights=weights["mscnn"])
    for image in (
        torch.zeros(1, 8, 8),
        torch.zeros(8, 8),
        torch.zeros(3, 0, 8),
        torch.zeros(3, 8, 8, dtype=torch.int32),
    ):
        with pytest.raises(ValueError, match="images must be"):
            dehaze(image)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", METHODS)
def test_gpu_equals_cpu(method: str, scene, weights) -> None:
    ours = dehaze(scene[0], method, weights[method], device="cuda")
    assert ours.device.type == "cuda"
    assert (ours.cpu().int() - dehaze(scene[0], method, weights[method]).int()).abs().max() <= 1


def test_maps_are_drawn(scene, weights) -> None:
    for method in METHODS:
        clear, maps = dehaze(scene[0], method, weights[method], return_maps=True)
        picture = draw_maps(scene[0], clear, maps)
        assert picture.mode == "RGB"
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 1000
    assert dmaskrcnn.dehaze is dehaze


# --- folders --------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path, scene) -> Path:
    """Pictures of every awkward kind: subfolders, grey, 16 bit, alpha, rotated, one pixel,
    broken."""
    folder = tmp_path / "photos"
    (folder / "a" / "b").mkdir(parents=True)
    picture = Image.fromarray(scene[0].permute(1, 2, 0).contiguous().numpy())
    picture.save(folder / "x.png")
    picture.save(folder / "a" / "x.JPG", quality=90)
    picture.convert("L").save(folder / "a" / "grey.pgm")
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(
        folder / "deep.png"
    )
    picture.convert("RGBA").save(folder / "a" / "b" / "alpha.webp")
    picture.resize((1, 1)).save(folder / "pixel.bmp")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # a quarter turn; the maker
    picture.save(folder / "turned.jpg", exif=exif, icc_profile=b"a profile")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_a_folder_keeps_names_subfolders_and_orientation(
    photos: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    main(["dehaze", str(photos), "--out", str(out)])
    shown = capsys.readouterr()
    assert shown.out.startswith("7 images dehazed, 1 unreadable skipped")
    assert "broken.jpg: cannot read the picture" in shown.err
    assert "dehaze: 8/8 images" in shown.err
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    pictures = {
        "x.png",
        "a/x.JPG",
        "a/grey.png",
        "deep.png",
        "a/b/alpha.webp",
        "pixel.bmp",
        "turned.jpg",
    }
    assert names == pictures | {"dehazed.json"}
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before
    turned = decode_image(out / "turned.jpg")
    assert turned.shape == decode_image(photos / "turned.jpg").shape == (3, 128, 96)
    expected = dehaze(decode_image(photos / "turned.jpg"))
    assert (turned.float() - expected.float()).abs().mean() < 2  # JPEG
    with Image.open(out / "turned.jpg") as picture:
        assert dict(picture.getexif()) == {0x010F: "a camera"}
        assert picture.info["icc_profile"] == b"a profile"
    assert torch.equal(decode_image(out / "x.png"), dehaze(decode_image(photos / "x.png")))
    content = json.loads((out / "dehazed.json").read_text())
    assert content["complete"] is True
    assert {entry["picture"] for entry in content["images"]} == pictures
    assert content["skipped"][0]["file"].endswith("broken.jpg")


def test_only_pictures_of_earlier_runs_are_overwritten(
    photos: Path, tmp_path: Path, weights
) -> None:
    dehazer = Dehazer("dark-channel")
    inside = photos / "a"
    dehaze_images(dehazer, [photos / "x.png"], inside, progress=False)
    assert sorted(path.name for path in inside.iterdir() if path.is_file()) == [
        "dehazed.json",
        "grey.pgm",
        "x.JPG",
        "x.png",
    ]
    foreign = inside / "deep.png"
    foreign.write_bytes(b"someone's")
    summary = dehaze_images(
        Dehazer("aod-net", weights["aod-net"]),
        [photos / "x.png", photos / "deep.png"],
        inside,
        True,
        False,
    )
    assert summary.images == 2
    assert foreign.read_bytes() == b"someone's"
    names = sorted(path.name for path in inside.iterdir() if path.is_file())
    assert names == [
        "deep-2.png",
        "deep-maps.png",
        "deep.png",
        "dehazed.json",
        "grey.pgm",
        "x-maps.png",
        "x.JPG",
        "x.png",
    ]
    dehaze_images(dehazer, [photos / "x.png"], inside, progress=False)
    assert json.loads((inside / "dehazed.json").read_text())["earlier"] == [
        "deep-2.png",
        "deep-maps.png",
        "x-maps.png",
    ]
    # the same picture as input and as planned output: neither is lost
    original = (photos / "x.png").read_bytes()
    dehaze_images(dehazer, [photos / "x.png"], photos, progress=False)
    assert (photos / "x.png").read_bytes() == original
    assert (photos / "x-2.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png", "--out", "out"], "missing.png: no such file or folder"),
        (["photos", "--out", "photos"], "is the output folder and an input folder"),
        (["photos/broken.jpg", "--out", "out"], "none of the 1 images can be read"),
        (["photos", "--out", "photos/x.png"], "cannot be written"),
        (["photos", "--out", "taken"], "was not written by dmaskrcnn dehaze"),
        (
            ["photos", "--out", "out", "--method", "aod-net", "--weights", "photos/x.png"],
            "no weights of aod-net",
        ),
        (["--out", "out"], "no images given"),
    ],
)
def test_bad_input_ends_in_one_line(
    photos: Path, arguments, message: str, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("taken").mkdir()
    Path("taken/dehazed.json").write_text("{}")
    with pytest.raises(SystemExit) as caught:
        main(["dehaze", *arguments])
    assert caught.value.code == 2
    error = [
        line
        for line in capsys.readouterr().err.splitlines()
        if not line.startswith(("skipped", "dehaze:"))
    ]
    assert len(error) == 1
    assert message in error[0]


# --- training -------------------------------------------------------------------------------------


def test_synthetic_haze_obeys_the_scattering_model(photos: Path) -> None:
    pictures = (
        rendered_pictures(1, 3, progress=False) + photographs([photos / "a"], progress=False)[:2]
    )
    assert [picture.depth is None for picture in pictures] == [False, True, True]
    rng = np.random.default_rng(0)
    means = []
    for turn in range(12):
        hazy, clear, t = random_pair(pictures[turn % 3], rng)
        assert hazy.shape == clear.shape == (3, 160, 224)
        assert 0.0199 < float(t.min()) <= float(t.max()) <= 1
        means.append(float(t.mean()))
        thick = (t < 0.97).expand_as(hazy)
        light = ((hazy - clear * t) / (1 - t))[thick]
        # one colour, within its tint and 8 bits
        assert float((light - light.mean()).abs().mean()) < 0.06
    assert max(means) - min(means) > 0.3


@pytest.mark.parametrize("method", ["mscnn", "aod-net"])
def test_training_makes_weights_that_dehaze_reads(
    method: str, tmp_path: Path, photos: Path, capsys
) -> None:
    out = tmp_path / "made" / "net.safetensors"
    flags = f"--method {method} --steps 3 --scenes 5 --batch-size 2 --device cpu"
    main(["train-dehazer", *flags.split(), "--out", str(out), "--clear", str(photos)])
    assert str(out) in capsys.readouterr().out
    description = json.loads(out.with_suffix(".json").read_text())
    assert description["pictures"] == {
        "photographs": 7,
        "rendered scenes": 5,
        "of these kept out": 2,
    }
    assert str(tmp_path) not in json.dumps(description)
    assert dehaze(torch.rand(3, 20, 30), method, out).shape == (3, 20, 30)


def test_training_is_repeatable_and_reduces_the_loss(tmp_path: Path, monkeypatch) -> None:
    results = [
        train_dehazer(
            "aod-net",
            tmp_path / f"{i}.safetensors",
            steps=2,
            scenes=5,
            batch_size=1,
            progress=False,
        )
        for i in range(2)
    ]
    assert results[0].weights.read_bytes() == results[1].weights.read_bytes()
    assert results[0].hazy_psnr == results[1].hazy_psnr

    # haze of one density is learnt in a few steps
    monkeypatch.setattr(synthesis, "MEAN_TRANSMISSION", (0.25, 0.25))
    pictures = rendered_pictures(2, 0, progress=False)
    torch.manual_seed(0)
    network = MSCNN()
    pair = [part[None] for part in random_pair(pictures[0], np.random.default_rng(1))]
    before = loss(network, *pair).item()
    optimise(network, pictures, 25, 1, 5e-3, np.random.default_rng(2), progress=False)
    assert loss(network, *pair).item() < 0.7 * before


def test_training_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "x.safetensors"
    for arguments, message in (
        ({"method": "dark-channel", "out": out}, "cannot be trained"),
        ({"method": "mscnn", "out": tmp_path / "x.pth"}, "name such a file"),
        ({"method": "mscnn", "out": out, "clear": [tmp_path / "empty"]}, "no readable pictures"),
        ({"method": "mscnn", "out": out, "clear": [tmp_path / "missing"]}, "no readable pictures"),
        ({"method": "mscnn", "out": out, "scenes": 0}, "too few"),
        ({"method": "mscnn", "out": out, "steps": 0}, "at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            train_dehazer(**arguments, progress=False)


def test_mscnn_loss_does_not_move_the_coarse_network_through_the_fine_one() -> None:
    network = MSCNN()
    image = torch.rand(1, 3, 16, 16)
    coarse = network.coarse(image)
    network.fine(image, mscnn.enlarge(coarse.detach(), torch.Size((16, 16)))).sum().backward()
    assert all(parameter.grad is None for parameter in network.coarse.parameters())
    assert float(grey(torch.ones(1, 3, 1, 1))) == pytest.approx(1, abs=2e-4)
