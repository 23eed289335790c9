"""The dehazing networks in NumPy, layer by layer, and networks of random weights to compare."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import correlate

from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.mscnn import MSCNN, enlarge

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
        network(image[None], found)
    for layer, ours in zip(expected, found, strict=True):
        np.testing.assert_allclose(ours[0].numpy(), layer, atol=1e-4)
    dehazed = np.maximum(expected[-1] * x - expected[-1] + 1, 0).clip(0, 1)
    clear = network.estimate(image[None]).clear
    np.testing.assert_allclose(clear[0].detach().numpy(), dehazed, atol=1e-4)


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
