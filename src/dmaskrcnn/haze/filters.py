"""The window filters of dehazing: minimum, mean, and He's guided filter; all take O(1) or O(log r)
time per pixel. OpenCV's, where it is installed, take a quarter of the time on a CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-R BT.601 luma, as MATLAB's rgb2gray, which the published methods use
GREY = (0.2989, 0.5870, 0.1140)
# Pixels of a picture that are filtered at once: of 100 megapixels, float64 maps are gigabytes.
STRIP = 1 << 22
# A window with so many rows to each side of those of a picture: strips would be all of it.
LARGE = 16


@cache
def _opencv() -> Any:
    """OpenCV, or None where it is not installed."""
    try:
        return importlib.import_module("cv2")
    except ImportError:  # also of a build whose system libraries are missing
        return None


def _on_cpu(image: Tensor) -> bool:
    """Whether OpenCV can take it: neither on a GPU, nor traced, nor differentiated."""
    return not (image.is_cuda or image.requires_grad or _traced()) and bool(_opencv())


def _traced() -> bool:
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def _each_map(image: Tensor, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """A function of arrays ``(H, W)`` on each of the maps ``(..., H, W)``."""
    maps = image.reshape(-1, *image.shape[-2:]).numpy()
    result = torch.empty(maps.shape, dtype=image.dtype)
    for values, place in zip(maps, result.numpy(), strict=True):
        place[:] = function(values)
    return result.view(image.shape)


def by_strips(
    function: Callable[..., Tensor], reach: int, *images: Tensor, step: int = 1
) -> Tensor:
    """``function(*images)``, of a large picture strip by strip, so that its intermediate maps are
    small.

    Args:
        function: of maps ``(N, C, H, W)`` to one of ``(…, H // step, W // step)``.
        reach: how many rows up and down a pixel of the result depends on; a multiple of ``step``.
        images: its arguments.
        step: rows and columns for each of the result.
    """
    if _traced():
        return function(*images)
    height, width = images[0].shape[-2:]
    rows = -(-max(STRIP // width, 8 * reach, 1) // step) * step
    if height <= rows:
        return function(*images)
    result = None
    for top in range(0, height, rows):
        low, high = max(top - reach, 0), min(top + rows + reach, height)
        part = function(*(image[..., low:high, :] for image in images))
        if result is None:
            layout = torch.contiguous_format
            if not part.is_contiguous():
                layout = torch.channels_last
            size = (*part.shape[:-2], height // step, width // step)
            result = torch.empty(size, dtype=part.dtype, device=part.device, memory_format=layout)
        place = result[..., top // step : (top + rows) // step, :]
        first = (top - low) // step
        place.copy_(part[..., first : first + place.shape[-2], :])
    assert result is not None
    return result


def grey(image: Tensor) -> Tensor:
    """The luma ``(N, 1, H, W)`` of an RGB image ``(N, 3, H, W)``."""
    red, green, blue = image.split(1, dim=1)
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def minimum_filter(image: Tensor, size: int) -> Tensor:
    """The minimum over a square window around each pixel.

    A window that crosses the border is cut there; for a minimum that is the same as a symmetric
    (mirrored) border, because the mirrored pixels are in the window already.

    Args:
        image: float ``(..., H, W)``.
        size: side of the window in pixels, odd.

    Returns:
        Shape and dtype of ``image``.
    """
    if _on_cpu(image) and image.dtype == torch.float32:
        window = np.ones((size, size), dtype=np.uint8)  # beyond the border OpenCV sees nothing
        return _each_map(image, lambda values: _opencv().erode(values, window))
    return _minimum_along(_minimum_along(image, size, -1), size, -2)


def _minimum_along(image: Tensor, size: int, axis: int) -> Tensor:
    """Windows of 1, 2, 4, … elements, each from two of the size before: log2(size) passes rather
    than ``size``."""
    before = size // 2
    pad = [before, before] if axis == -1 else [0, 0, before, before]
    lowest = F.pad(image, pad, value=torch.inf)
    reach = 1
    while reach < size:
        step = min(reach, size - reach)
        length = lowest.shape[axis] - step
        lowest = torch.minimum(lowest.narrow(axis, 0, length), lowest.narrow(axis, step, length))
        reach += step
    return lowest


def box_mean(image: Tensor, radius: int | tuple[int, int]) -> Tensor:
    """The mean over ``2 radius + 1`` by ``2 radius + 1`` pixels, cut at the border (He's
    ``boxfilter`` divided by its count).

    Differences of running sums: the time does not depend on the radius. The sums are the reason for
    float64: in float32 they lose the digits that the variance of a nearly flat window consists of.

    Args:
        image: ``(..., H, W)``, float64.
        radius: >= 0, in pixels; or one along the columns and one along the rows.
    """
    radii = radius if isinstance(radius, tuple) else (radius, radius)
    if _on_cpu(image) and image.dtype == torch.float64:  # augmentations are the same everywhere
        return _each_map(image, lambda values: _window_mean(values, radii))
    for axis in (-1, -2):
        length = image.shape[axis]
        reach = min(radii[axis], length - 1)  # beyond, every window is the whole row
        pad = [reach + 1, reach] if axis == -1 else [0, 0, reach + 1, reach]
        sums = F.pad(image, pad).cumsum(axis)
        place = torch.arange(length, device=image.device)
        count = (place + reach).clamp_(max=length - 1) - (place - reach).clamp_(min=0) + 1
        share = count.to(image.dtype).reciprocal_()
        window = 2 * reach + 1
        image = sums.narrow(axis, window, length) - sums.narrow(axis, 0, length)
        image.mul_(share if axis == -1 else share[:, None])
    return image


def _window_mean(values: np.ndarray, radii: tuple[int, int]) -> np.ndarray:
    reach = [min(*pair) for pair in zip(radii, (n - 1 for n in values.shape), strict=True)]
    shares = []
    for length, far in zip(values.shape, reach, strict=True):
        place = np.arange(length)
        count = np.minimum(place + far, length - 1) - np.maximum(place - far, 0) + 1
        shares.append((1 / count).astype(values.dtype))
    size = (2 * reach[1] + 1, 2 * reach[0] + 1)
    cv2 = _opencv()
    sums = cv2.boxFilter(values, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    sums *= shares[0][:, None]
    sums *= shares[1]
    return sums


def guided_filter(guide: Tensor, image: Tensor, radius: int, epsilon: float) -> Tensor:
    """Smooths an image along the edges of another one (He et al., ECCV 2010, eqs. 5, 6 and 8).

    In every window the result is a linear function of the guide, fitted to the image; ``epsilon``
    is the variance of the guide below which a window counts as flat.

    Args:
        guide: ``(N, 1, H, W)``, floats in [0, 1].
        image: ``(N, 1, H, W)``, floats.
        radius: of the square windows, in pixels.
        epsilon: > 0, squared intensity.

    Returns:
        float32 ``(N, 1, H, W)``.
    """
    height, width = guide.shape[-2:]
    if height * width > STRIP and height <= LARGE * radius and not _traced():
        return _guided_filter_by_passes(guide, image, radius, epsilon)
    fit = partial(_guided_filter, radius=radius, epsilon=epsilon)
    return by_strips(fit, 2 * radius, guide, image)


def _guided_filter(guide: Tensor, image: Tensor, radius: int, epsilon: float) -> Tensor:
    guide, image = guide.double(), image.double()
    guide_mean, image_mean = box_mean(guide, radius), box_mean(image, radius)
    covariance = box_mean(guide * image, radius).addcmul_(guide_mean, image_mean, value=-1)
    variance = box_mean(guide.square(), radius).addcmul_(guide_mean, guide_mean, value=-1)
    slope = covariance.div_(variance.add_(epsilon))
    offset = image_mean.addcmul_(slope, guide_mean, value=-1)
    return box_mean(offset, radius).addcmul_(box_mean(slope, radius), guide).float()


def _guided_filter_by_passes(guide: Tensor, image: Tensor, radius: int, epsilon: float) -> Tensor:
    """`_guided_filter` with windows of a good part of the picture, whose strips would overlap."""
    count, channels, height, width = image.shape
    sizes = (1, channels, channels, 1)

    def products(rows: slice) -> Tensor:
        own, other = guide[..., rows, :].double(), image[..., rows, :].double()
        return torch.cat((own, other, own * other, own.square()), 1)

    fit = torch.empty(count, 2 * channels, height, width, device=image.device)
    for rows, means in _running_means(products, height, width, radius):
        guide_mean, image_mean, product, square = means.split(sizes, 1)
        slope = (product - guide_mean * image_mean) / (square - guide_mean.square() + epsilon)
        fit[..., rows, :] = torch.cat((slope, image_mean - slope * guide_mean), 1)
    result = torch.empty(image.shape, device=image.device)
    fits = _running_means(lambda rows: fit[..., rows, :].double(), height, width, radius)
    for rows, means in fits:
        slope, offset = means.chunk(2, 1)
        result[..., rows, :] = offset.addcmul_(slope, guide[..., rows, :])
    return result


def _running_means(
    maps: Callable[[slice], Tensor], height: int, width: int, radius: int
) -> Iterator[tuple[slice, Tensor]]:
    """`box_mean` of maps ``(N, C, height, width)``, float64, of which ``maps`` gives some rows at a
    time, each twice: as they come into the windows and as they leave them. Rows, and their means,
    strip by strip."""

    def wide(low: int, high: int) -> Tensor:
        """Means along the rows; zeros outside the picture."""
        above = min(max(-low, 0), high - low)
        first, last = min(low + above, height), min(max(high, 0), height)
        means = maps(slice(first, max(first, last)))
        if means.shape[-2]:
            means = box_mean(means, (0, radius))
        return F.pad(means, (0, 0, above, high - low - above - means.shape[-2]))

    step = max(STRIP // (8 * width), 1)
    reach = min(radius, height - 1)
    sums = wide(0, 0).sum(-2, True)
    for low in range(0, reach, step):
        sums += wide(low, min(low + step, reach)).sum(-2, True)
    for top in range(0, height, step):
        end = min(top + step, height)
        change = wide(top + reach, end + reach).sub_(wide(top - reach - 1, end - reach - 1))
        windows = change.cumsum_(-2).add_(sums)
        sums = windows[..., -1:, :].clone()
        place = torch.arange(top, end, device=windows.device)
        rows = (place + reach).clamp_(max=height - 1) - (place - reach).clamp_(min=0) + 1
        yield slice(top, end), windows.div_(rows[:, None])


def fast_guided_filter(
    guide: Tensor, small_guide: Tensor, image: Tensor, radius: int, epsilon: float
) -> Tensor:
    """Enlarges an image along the edges of a larger one (He and Sun, "Fast Guided Filter", 2015).

    The linear functions of ``guided_filter`` are fitted in the small picture, and applied to the
    large one.

    Args:
        guide: float32 ``(H, W)`` in [0, 1].
        small_guide: float32 ``(h, w)``, the same reduced.
        image: float32 ``(h, w)``, to be enlarged.
        radius: of the square windows, in pixels of the small picture.
        epsilon: > 0, squared intensity; float32 is exact enough for 0.001 and more.

    Returns:
        float32 ``(H, W)``.
    """
    pair = torch.stack((small_guide, image))
    guide_mean, image_mean, square, product = box_mean(
        torch.cat((pair, pair * small_guide)), radius
    )
    slope = (product - guide_mean * image_mean) / (square - guide_mean.square() + epsilon)
    fit = box_mean(torch.stack((slope, image_mean - slope * guide_mean)), radius)
    # As two images of one channel: then the bits do not hang on the number of threads.
    slope, offset = F.interpolate(fit[:, None], size=guide.shape, mode="bilinear")[:, 0]
    return offset.addcmul_(slope, guide)
