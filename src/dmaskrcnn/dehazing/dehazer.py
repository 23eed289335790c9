"""``dehaze``: one function for all methods, on one image or a batch, on CPU or GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.picture_input import (
    Channels,
    Picture,
    check_range,
    each_picture,
    image_tensor,
    is_one,
)
from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.bars import bar_heights
from dmaskrcnn.dehazing.dark_channel import DarkChannel, RobustDarkChannel
from dmaskrcnn.dehazing.method import DehazingMethod, Estimate
from dmaskrcnn.dehazing.mscnn import MSCNN, RobustMSCNN
from dmaskrcnn.dehazing.pretrained import load_weights, shipped_weights
from dmaskrcnn.errors import UserError

METHODS: dict[str, Callable[[], DehazingMethod]] = {
    "dark-channel": DarkChannel,
    "dark-channel-robust": RobustDarkChannel,
    "mscnn": MSCNN,
    "mscnn-released": partial(MSCNN, released=True),
    "mscnn-robust": RobustMSCNN,
    "aod-net": AODNet,
}


class Dehazer:
    """A dehazing method with its weights in memory, for many images; for a few, call
    :func:`dehaze`.

    Args:
        method: ``dark-channel`` (He et al. 2009), ``mscnn`` (Ren et al. 2016, as published),
            ``mscnn-released`` (as its authors' released code runs it: the coarse map is not fed to
            the fine network) or ``aod-net`` (Li et al. 2017); ``dark-channel-robust`` and
            ``mscnn-robust`` are guarded against what photographs of fog hold besides fog.
        weights: a file of ``train-dehazer``; by default the project's own.
        device: where to compute; by default where the image is.
        ignore_rows: how much at the top and at the bottom no method looks at and none changes: px,
            or below 1, shares of the height. By default the bright bars with the time that cameras
            burn in, where there are some; ``(0, 0)`` looks at everything.
        quick: see `DehazingMethod`.

    Raises:
        UserError: for an unknown method, weights that are missing or of another network, and rows
            that are negative.
    """

    def __init__(
        self,
        method: str = "dark-channel-robust",
        weights: Path | str | None = None,
        device: torch.device | str | None = None,
        ignore_rows: tuple[float, float] | None = None,
        quick: bool = False,
    ):
        if method not in METHODS:
            raise UserError(f"method: {method!r} is none; choose from {', '.join(METHODS)}")
        self.method, self.weights = method, None if weights is None else Path(weights)
        self.device = torch.device(device) if device is not None else None
        if ignore_rows is not None and not all(0 <= rows < math.inf for rows in ignore_rows):
            raise UserError(
                f"--ignore-rows must be 0 or more, got {ignore_rows[0]:g} {ignore_rows[1]:g}"
            )
        self.ignore_rows = ignore_rows
        self.network = METHODS[method]()
        self.network.quick = quick
        if name := DEHAZERS[method].network:
            self.weights = self.weights or shipped_weights(name)
            load_weights(self.network, name, self.weights)
        elif weights is not None:
            raise UserError(
                f"weights: {weights} given, but {method} has none; choose another method or leave "
                "them out"
            )
        self.network.eval().requires_grad_(False)

    def stream(self, images: Any, channels: Channels = "rgb") -> Iterator[Tensor]:
        """Dehazed images ``(3, H, W)`` one after the other, of a folder, a pattern, or any list or
        generator of images: see `picture_input.each_picture`."""
        for image in each_picture(images):
            yield self(image, channels)[0]

    @torch.inference_mode()
    def __call__(
        self, images: Picture, channels: Channels = "rgb"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A dehazed image (or a batch) and intermediate maps; arguments and results as of
        :func:`dehaze`."""
        if not isinstance(images, Tensor):
            images = image_tensor(images, channels)
        elif channels == "bgr":
            images = images.flip(-3)
        if images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape[-2:]:
            raise UserError(
                "image: expected (3, H, W) or (N, 3, H, W) with H, W >= 1, got "
                f"{tuple(images.shape)}; convert it"
            )
        if images.is_floating_point() and images.numel():
            low, high = images.aminmax()
            check_range(float(low), float(high), "image")
        if not (images.is_floating_point() or images.dtype == torch.uint8):
            raise UserError(
                f"image: expected uint8 or floats in [0, 1], got {images.dtype}; convert it"
            )
        device = self.device or images.device
        batch = (images if images.ndim == 4 else images[None]).to(device)
        eight_bits = batch.dtype == torch.uint8
        batch = batch.contiguous(memory_format=self.network.layout)  # a mixture is slow
        hazy = batch.float().div_(255) if eight_bits else batch.float().clamp(0, 1)
        clear, maps = self._estimate(self.network.to(device), hazy, eight_bits)
        clear = clear.mul_(255).round_().to(torch.uint8) if eight_bits else clear.to(batch.dtype)
        if images.ndim == 3:
            return clear[0], {name: value[0] for name, value in maps.items()}
        return clear, maps

    def _estimate(
        self, network: DehazingMethod, hazy: Tensor, eight_bits: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Estimates without the rows that are ignored; these stay as they are, 1 in maps."""
        ignored = [self._ignored(image) for image in hazy]
        if len(set(ignored)) > 1:
            parts = [self._estimate(network, image[None], eight_bits) for image in hazy]
            maps = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
            return torch.cat([part[0] for part in parts]), maps
        if not ignored or ignored[0] == (0, 0):
            found = network.estimate(hazy, eight_bits) if ignored else Estimate(hazy, {})
            return found.clear, found.maps
        top, bottom = ignored[0]
        inner = slice(top, hazy.shape[2] - bottom)
        found = network.estimate(
            hazy[:, :, inner].contiguous(memory_format=network.layout), eight_bits
        )
        clear = hazy.clone()
        clear[:, :, inner] = found.clear
        return clear, {
            name: F.pad(value, (0, 0, top, bottom), value=1.0) if value.ndim == 4 else value
            for name, value in found.maps.items()
        }

    def _ignored(self, image: Tensor) -> tuple[int, int]:
        """Rows at the top and at the bottom of an image ``(3, H, W)``."""
        if self.ignore_rows is None:
            return bar_heights(image)
        height = image.shape[1]
        top, bottom = (round(n * height) if n < 1 else round(n) for n in self.ignore_rows)
        if top + bottom >= height:
            raise UserError(
                f"--ignore-rows: {top} and {bottom} of {height} rows leave nothing; give shares "
                "below 1 where pictures differ in height"
            )
        return top, bottom


@overload
def dehaze(
    image: Picture,
    method: str = ...,
    weights: Path | str | None = ...,
    device: Any = ...,
    return_maps: Literal[False] = ...,
    channels: Channels = ...,
) -> Tensor: ...
@overload
def dehaze(
    image: Picture,
    method: str = ...,
    weights: Path | str | None = ...,
    device: Any = ...,
    *,
    return_maps: Literal[True],
    channels: Channels = ...,
) -> tuple[Tensor, dict[str, Tensor]]: ...
@overload
def dehaze(image: Iterable[Any], *args: Any, **options: Any) -> list[Any]: ...
def dehaze(
    image: Any,
    method: str = "dark-channel-robust",
    weights: Path | str | None = None,
    device: torch.device | str | None = None,
    return_maps: bool = False,
    channels: Channels = "rgb",
) -> Any:
    """Remove haze from an image or a batch of images of one size, or from several; for so many
    that they do not fit into memory, see :meth:`Dehazer.stream`.

    Args:
        image: a tensor, RGB, ``(3, H, W)`` or ``(N, 3, H, W)``, uint8 or floats in [0, 1]; any size
            from 1 by 1. Or a path, bytes, a PIL image, an array: see `picture_input.image_pixels`.
            Or several: a folder, a pattern, a list.
        method: see :class:`Dehazer`.
        weights: see :class:`Dehazer`.
        device: where to compute, and where the result is; by default where the image is.
        return_maps: also return what the method found on the way.
        channels: of arrays and tensors; ``bgr`` is OpenCV's. The result is RGB.

    Returns:
        The dehazed image, of the shape and dtype of ``image``; ``(3, H, W)`` of what is no tensor;
        a list of several. With ``return_maps`` also a dict of float32 maps, without N for a single
        image: ``airlight`` ``(N, 3)`` and ``transmission`` ``(N, 1, H, W)`` of dark-channel and
        mscnn; of mscnn also ``coarse`` ``(N, 1, H, W)``, the coarse network's; ``k`` ``(N, 3, H,
        W)`` of aod-net, which has no airlight or transmission of its own. :func:`draw_maps` shows
        them.

    Raises:
        UserError: for an unknown method, weights that are missing or of another network, and what
            is no image.
    """
    dehazer = Dehazer(method, weights, device)
    if not (isinstance(image, Tensor) or is_one(image)):
        each = [dehazer(one, channels) for one in each_picture(image)]
        return each if return_maps else [clear for clear, _ in each]
    clear, maps = dehazer(image, channels)
    return (clear, maps) if return_maps else clear
