"""The dehazing networks, layer by layer, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dehazing_cases import check_aod_net, check_mscnn, random_aod_net, random_mscnn

from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.mscnn import MSCNN, RobustMSCNN, enlarge
from dmaskrcnn.haze import filters


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


@pytest.mark.parametrize("released", [True, False])
@pytest.mark.parametrize("method", [MSCNN, RobustMSCNN])
@pytest.mark.parametrize("size", [(302, 40), (301, 41), (451, 33)])
def test_mscnn_in_strips_is_the_same(
    method: type[MSCNN], released: bool, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = method(released)
    hazy = torch.rand(2, 3, *size)
    with torch.no_grad():
        whole = network.estimate(hazy)
        monkeypatch.setattr(filters, "STRIP", 1)
        strips = network.estimate(hazy)
    torch.testing.assert_close(strips.maps, whole.maps, atol=1e-6, rtol=0)
    torch.testing.assert_close(strips.clear, whole.clear, atol=3e-6, rtol=0)


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
