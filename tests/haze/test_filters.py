"""The window filters of dehazing, against loops over windows and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dehazing_cases import plain_guided_filter
from scipy.ndimage import minimum_filter as scipy_minimum

from dmaskrcnn.haze import filters
from dmaskrcnn.haze.filters import box_mean, by_strips, grey, guided_filter, minimum_filter


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


def test_grey_of_white_is_white() -> None:
    assert float(grey(torch.ones(1, 3, 1, 1))) == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("opencv", [True, False])
@pytest.mark.parametrize("strip", [1, 400])
def test_in_strips_and_with_opencv_it_is_the_same(
    opencv: bool, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide, image = torch.rand(2, 2, 1, 137, 40, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(filters, "_opencv", lambda: None)
    wanted = guided_filter(guide, image, 3, 1e-3), minimum_filter(image, 5)
    if opencv:
        cv2 = pytest.importorskip("cv2", reason="needs OpenCV, which comes with the extra `track`")
        monkeypatch.setattr(filters, "_opencv", lambda: cv2)
    monkeypatch.setattr(filters, "STRIP", strip)
    torch.testing.assert_close(guided_filter(guide, image, 3, 1e-3), wanted[0], atol=1e-7, rtol=0)
    assert torch.equal(minimum_filter(image, 5), wanted[1])
    assert torch.equal(by_strips(lambda part: minimum_filter(part, 5), 2, image), wanted[1])
    monkeypatch.setattr(filters, "STRIP", 1 << 22)
    colours = torch.stack([image, guide, image], 1)[:, :, 0]
    for radius in (9, 50, 200):  # a good part of the picture, and more than all of it
        wanted = guided_filter(guide, colours, radius, 1e-2)
        monkeypatch.setattr(filters, "STRIP", strip)
        found = guided_filter(guide, colours, radius, 1e-2)
        monkeypatch.setattr(filters, "STRIP", 1 << 22)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    small = image[..., :4, :3].double()  # the window is larger than the picture
    torch.testing.assert_close(box_mean(small, 9), small.mean((2, 3), True).expand_as(small))
