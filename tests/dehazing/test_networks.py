"""The dehazing networks, layer by layer, against NumPy and SciPy; and the readers of weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.ndimage import zoom
from scipy.signal import correlate

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.aodnet import clear as aod_clear
from dmaskrcnn.dehazing.mscnn import MSCNN, enlarge
from dmaskrcnn.dehazing.pretrained import load_weights, save_weights
from dmaskrcnn.dehazing.quality import psnr, ssim
from dmaskrcnn.errors import UserError

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"
realdata = pytest.mark.realdata
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_dir(), reason="the authors' weights (../shared/data/weights) are not here"
)
Array = NDArray[np.float64]


# --- the networks in NumPy: (C, H, W), float64, from the papers and MatConvNet's documentation ---


def convolve(x: Array, weight: Array, bias: Array) -> Array:
    reach = weight.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    return np.stack(
        [correlate(padded, w, mode="valid")[0] + b for w, b in zip(weight, bias, strict=True)]
    )


def pool_and_upsample(x: Array) -> Array:
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    blocks = x[:, :height, :width].reshape(len(x), height // 2, 2, width // 2, 2).max(axis=(2, 4))
    return blocks.repeat(2, axis=1).repeat(2, axis=2)


def normalise(x: Array) -> Array:
    result = np.empty_like(x)
    for c in range(len(x)):
        result[c] = x[c] / (1 + 2e-5 * (x[max(c - 2, 0) : c + 3] ** 2).sum(axis=0)) ** 0.75
    return result


def scale_network(
    x: Array, state: dict[str, Array], guess: Array | None = None
) -> tuple[list[Array], Array]:
    """The outputs of the three stages as they enter the next convolution, and the transmission."""
    layers = []
    for index in range(3):
        x = convolve(x, state[f"convolutions.{index}.weight"], state[f"convolutions.{index}.bias"])
        if index == 0 and guess is not None:
            x[-1] = guess
        x = pool_and_upsample(np.maximum(x, 0))
        x = normalise(x) if index < 2 else x
        layers.append(x)
    combined = (x * state["combination.weight"][0]).sum(axis=0) + state["combination.bias"]
    return layers, 1 / (1 + np.exp(-combined))


def aod_net(x: Array, state: dict[str, Array]) -> list[Array]:
    def layer(index: int, *inputs: Array) -> Array:
        weight, bias = state[f"convolutions.{index}.weight"], state[f"convolutions.{index}.bias"]
        return np.maximum(convolve(np.concatenate(inputs), weight, bias), 0)

    one = layer(0, x)
    two = layer(1, one)
    three = layer(2, one, two)
    four = layer(3, two, three)
    return [one, two, three, four, layer(4, one, two, three, four)]


# --- comparisons ----------------------------------------------------------------------------------


def state_of(module: torch.nn.Module) -> dict[str, Array]:
    return {key: value.double().numpy() for key, value in module.state_dict().items()}


def check_mscnn(network: MSCNN, image: torch.Tensor) -> None:
    x = image.double().numpy()
    stages, coarse = scale_network(x, state_of(network.coarse))
    found: list[torch.Tensor] = []
    with torch.no_grad():
        half = network.coarse(image[None], layers=found)
        for stage, ours in zip(stages, found, strict=True):
            np.testing.assert_allclose(ours[0].numpy(), stage[:, ::2, ::2], atol=1e-4)
        np.testing.assert_allclose(
            enlarge(half, torch.Size(coarse.shape))[0, 0].numpy(), coarse, atol=1e-4
        )

        guess = None if network.released else coarse
        stages, fine = scale_network(x, state_of(network.fine), guess)
        given = None if guess is None else torch.from_numpy(guess).float()[None, None]
        found = []
        network.fine(image[None], given, layers=found)
        for stage, ours in zip(stages, found, strict=True):
            np.testing.assert_allclose(ours[0].numpy(), stage[:, ::2, ::2], atol=1e-4)
        whole_coarse, whole_fine = network(image[None])
    np.testing.assert_allclose(whole_coarse[0, 0].numpy(), coarse, atol=1e-4)
    np.testing.assert_allclose(whole_fine[0, 0].numpy(), fine, atol=1e-4)


def check_aod_net(network: AODNet, image: torch.Tensor) -> None:
    x = image.double().numpy()
    expected = aod_net(x, state_of(network))
    found: list[torch.Tensor] = []
    with torch.no_grad():
        k = network(image[None], found)
    for layer, ours in zip(expected, found, strict=True):
        np.testing.assert_allclose(ours[0].numpy(), layer, atol=1e-4)
    dehazed = np.maximum(expected[-1] * x - expected[-1] + 1, 0).clip(0, 1)
    np.testing.assert_allclose(aod_clear(image[None], k)[0].numpy(), dehazed, atol=1e-4)


def random_mscnn(released: bool = False) -> MSCNN:
    torch.manual_seed(3)
    network = MSCNN(released)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)  # activations of order 1, unlike the default's
    return network


def random_aod_net() -> AODNet:
    torch.manual_seed(4)
    network = AODNet()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.05, 0.15)
    return network


@pytest.mark.parametrize("released", [False, True])
def test_mscnn_with_random_weights(released: bool) -> None:
    check_mscnn(random_mscnn(released), torch.rand(3, 22, 30))


def test_released_mscnn_ignores_the_coarse_network() -> None:
    image = torch.rand(1, 3, 20, 24)
    published, released = random_mscnn(), random_mscnn(released=True)
    with torch.no_grad():
        before = published(image)[1], released(image)[1]
        for network in (published, released):
            network.coarse.combination.bias += 2
        after = published(image)[1], released(image)[1]
    assert not torch.allclose(before[0], after[0], atol=1e-3)
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[0], before[1], atol=1e-3)


def test_odd_sizes_are_resized_as_by_matlab() -> None:
    """MATLAB's ``imresize``: Keys' cubic with a = -0.5; inside, a straight line stays one."""
    ramp = torch.arange(6.0)[None, None, None].expand(1, 1, 5, 6) / 10
    resized = enlarge(ramp, torch.Size((11, 13)))[0, 0]
    assert resized.shape == (11, 13)
    full = ramp[0, 0].repeat_interleave(2, 0).repeat_interleave(2, 1).double().numpy()
    place = (np.arange(13) + 0.5) * 12 / 13 - 0.5
    expected = []
    for x in place:
        taps = np.arange(np.floor(x) - 1, np.floor(x) + 3)
        d = np.abs(x - taps)
        near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        weights = np.where(d <= 1, near, np.where(d <= 2, far, 0)) * ((taps >= 0) & (taps < 12))
        expected.append((weights * full[0, taps.clip(0, 11).astype(int)]).sum() / weights.sum())
    np.testing.assert_allclose(resized[5].numpy(), np.clip(expected, 0, 1), atol=1e-5)
    with torch.no_grad():
        for size in ((1, 1), (1, 7), (2, 3), (9, 15)):
            assert all(
                part.shape == (2, 1, *size) for part in random_mscnn()(torch.rand(2, 3, *size))
            )


@pytest.mark.parametrize("width", [16, 17, 18, 19])
def test_aod_net_with_random_weights(width: int) -> None:
    check_aod_net(random_aod_net(), torch.rand(3, 13, width))


def test_aod_net_has_as_many_parameters_as_published() -> None:
    assert sum(p.numel() for p in AODNet().parameters()) == 1761


@pytest.mark.parametrize("build", [random_mscnn, random_aod_net])
def test_gradients_are_those_of_the_plain_network(build) -> None:
    """Training goes through the rearranged kernels: their gradient must be that of the finite
    differences."""
    network = build().double()
    image = torch.rand(1, 3, 8, 10, dtype=torch.float64)

    def value() -> torch.Tensor:
        result = network(image)
        return (
            sum(part.square().mean() for part in result)
            if isinstance(result, tuple)
            else result.square().mean()
        )

    value().backward()
    for parameter in network.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad
        assert gradient is not None
        index = int(gradient.abs().argmax())
        flat[index] += 1e-6
        above = value().item()
        flat[index] -= 2e-6
        below = value().item()
        flat[index] += 1e-6
        assert gradient.view(-1)[index].item() == pytest.approx(
            (above - below) / 2e-6, rel=1e-4, abs=1e-8
        )


# --- weights --------------------------------------------------------------------------------------


def write_mat(folder: Path, network: MSCNN) -> Path:
    """A pair of files as MatConvNet writes them."""
    kinds = ("conv", "relu", "pool", "upsmpl", "normalize") * 2 + (
        "conv",
        "relu",
        "pool",
        "upsmpl",
        "chnLinComb",
    )
    for mark, part in (("CL", network.coarse), ("FL", network.fine)):
        layers = np.empty((1, len(kinds)), dtype=object)
        convolutions = iter(part.convolutions)
        for i, kind in enumerate(kinds):
            layers[0, i] = {"type": kind}
            if kind in ("conv", "chnLinComb"):
                module = next(convolutions) if kind == "conv" else part.combination
                weight = module.weight.detach().numpy()
                filters = (
                    weight.transpose(2, 3, 1, 0)
                    if kind == "conv"
                    else weight[:, :, :, 0].transpose(0, 2, 1)
                )
                layers[0, i] |= {"filters": filters, "biases": module.bias.detach().numpy()[None]}
        savemat(folder / f"net_{mark}.mat", {"net": {"layers": layers}})
    return folder / "net_CL.mat"


def varint(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data, value = data + bytes([value & 0x7F | 0x80]), value >> 7
    return data + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def write_caffe(path: Path, network: AODNet) -> Path:
    message = field(1, b"net") + field(100, field(1, b"input") + field(2, b"Input"))
    for i, module in enumerate(network.convolutions):
        layer = (
            field(1, f"conv{i + 1}".encode())
            + field(2, b"Convolution")
            + varint(10 << 3)
            + varint(1)
        )
        for part in (module.weight, module.bias):
            values = part.detach().numpy()
            layer += field(
                7,
                field(5, values.astype("<f4").tobytes())
                + field(7, field(1, b"".join(map(varint, values.shape)))),
            )
        message += field(100, layer)
    path.write_bytes(message)
    return path


def test_every_kind_of_weights_file_is_read(tmp_path: Path) -> None:
    mscnn, aod = random_mscnn(), random_aod_net()
    save_weights(mscnn, tmp_path / "mscnn.safetensors", {"made": "by a test"})
    save_weights(aod, tmp_path / "aod.safetensors", {})
    assert json.loads((tmp_path / "mscnn.json").read_text()) == {"made": "by a test"}
    renamed = {
        f"e_conv{int(k.split('.')[1]) + 1}.{k.split('.')[2]}": v
        for k, v in aod.state_dict().items()
    }
    torch.save(renamed, tmp_path / "aod.pth")
    for path in (
        tmp_path / "mscnn.safetensors",
        write_mat(tmp_path, mscnn),
        tmp_path / "net_FL.mat",
    ):
        loaded = MSCNN()
        load_weights(loaded, "mscnn", path)
        assert all(
            torch.equal(a, b) for a, b in zip(loaded.parameters(), mscnn.parameters(), strict=True)
        )
    for path in (
        tmp_path / "aod.safetensors",
        tmp_path / "aod.pth",
        write_caffe(tmp_path / "a.caffemodel", aod),
    ):
        loaded = AODNet()
        load_weights(loaded, "aod-net", path)
        assert all(
            torch.equal(a, b) for a, b in zip(loaded.parameters(), aod.parameters(), strict=True)
        )


def test_wrong_weights_files_are_refused_in_one_line(tmp_path: Path) -> None:
    mscnn, aod = random_mscnn(), random_aod_net()
    save_weights(aod, tmp_path / "aod.safetensors", {})
    write_mat(tmp_path, mscnn)
    (tmp_path / "alone_CL.mat").write_bytes((tmp_path / "net_CL.mat").read_bytes())
    shutil.copy(tmp_path / "net_FL.mat", tmp_path / "twice_CL.mat")
    shutil.copy(tmp_path / "net_FL.mat", tmp_path / "twice_FL.mat")
    savemat(tmp_path / "other_CL.mat", {"something": 1})
    for name in (
        "text.safetensors",
        "text.mat",
        "text_CL.mat",
        "text_FL.mat",
        "text.pth",
        "text.caffemodel",
    ):
        (tmp_path / name).write_text("no weights at all")
    (tmp_path / "empty.caffemodel").touch()
    data = write_caffe(tmp_path / "whole.caffemodel", aod).read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(data[: len(data) // 2])
    torch.save({"model": 1}, tmp_path / "other.pth")
    torch.save({"e_conv1.weight": torch.zeros(3, 3, 1, 1)}, tmp_path / "part.pth")
    nan = random_aod_net()
    nan.convolutions[0].bias.data[0] = torch.nan  # type: ignore[union-attr]
    save_weights(nan, tmp_path / "nan.safetensors", {})
    (tmp_path / "large.safetensors").write_bytes(b"0" * 10_000_001)
    cases = [
        ("mscnn", name)
        for name in (
            "alone_CL.mat",
            "twice_CL.mat",
            "other_CL.mat",
            "text.mat",
            "text_CL.mat",
            "aod.safetensors",
        )
    ]
    cases += [
        ("mscnn", "text.safetensors"),
        ("mscnn", "whole.caffemodel"),
        ("mscnn", "missing.mat"),
        ("aod-net", "net_CL.mat"),
    ]
    cases += [("aod-net", f"{name}.caffemodel") for name in ("text", "empty", "cut")]
    cases += [("aod-net", f"{name}.pth") for name in ("text", "other", "part")]
    cases += [("aod-net", "nan.safetensors"), ("aod-net", "large.safetensors"), ("mscnn", ".")]
    for method, name in cases:
        network = MSCNN() if method == "mscnn" else AODNet()
        with pytest.raises(UserError) as caught:
            load_weights(network, method, tmp_path / name)
        assert "\n" not in str(caught.value), name
        assert str(tmp_path) in str(caught.value), name


@realdata
@needs_weights
@pytest.mark.parametrize("released", [False, True])
def test_mscnn_with_the_authors_weights(released: bool) -> None:
    network = MSCNN(released)
    load_weights(network, "mscnn", WEIGHTS / "MSCNNDehazing_CL.mat")
    check_mscnn(network, smooth_image())


@realdata
@needs_weights
@pytest.mark.parametrize("name", ["aodnet_dehazer.pth", "AOD_Net.caffemodel"])
def test_aod_net_with_the_authors_weights(name: str) -> None:
    network = AODNet()
    load_weights(network, "aod-net", WEIGHTS / name)
    check_aod_net(network, smooth_image())


def smooth_image() -> torch.Tensor:
    """An image with structure of several sizes, in [0, 1]."""
    rng = np.random.default_rng(0)
    layers = [zoom(rng.random((3, 60 // s, 80 // s)), (1, s, s), order=1) for s in (20, 5, 1)]
    return torch.from_numpy(np.mean(layers, axis=0)).float()


# --- quality --------------------------------------------------------------------------------------


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    """SSIM written out window by window, as in Wang et al. 2004 with uniform weights and sample
    covariances."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 10, 12))
    image = (truth + rng.integers(-40, 41, truth.shape)).clip(0, 255)
    values = []
    for x, y in zip(image.astype(float), truth.astype(float), strict=True):
        for top in range(10 - 6):
            for left in range(12 - 6):
                a, b = (part[top : top + 7, left : left + 7].ravel() for part in (x, y))
                (va, cab), (_, vb) = np.cov(a, b)
                c1, c2 = 2.55**2, 7.65**2
                ab = (2 * a.mean() * b.mean() + c1) * (2 * cab + c2)
                values.append(ab / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)))
    ours, theirs = (torch.from_numpy(part.astype(np.uint8)) for part in (image, truth))
    assert ssim(ours, theirs) == pytest.approx(np.mean(values), abs=1e-9)
    assert psnr(ours, theirs) == pytest.approx(
        10 * np.log10(255**2 / np.mean((image - truth) ** 2))
    )
    assert psnr(ours, ours) == float("inf")


@realdata
@needs_weights
@pytest.mark.parametrize("method", ["dark-channel", "aod-net", "mscnn"])
def test_every_default_gains_three_decibels_on_indoor_haze(method: str) -> None:
    """RESIDE SOTS-indoor: a quarter of the pairs, of which the whole has hazy 12.6 dB."""
    folder = WEIGHTS.parent / "sots_indoor"
    gains = []
    dehazer = Dehazer(method)
    for file in sorted((folder / "hazy").iterdir())[::4]:
        hazy, clear = decode_image(file), decode_image(folder / "clear" / file.name)
        gains.append(psnr(dehazer(hazy)[0], clear) - psnr(hazy, clear))
    assert np.mean(gains) > 3
