"""``dehaze``: one function for all methods, on one image or a batch, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.dark_channel import DarkChannel
from dmaskrcnn.dehazing.method import DehazingMethod, Estimate
from dmaskrcnn.dehazing.mscnn import MSCNN
from dmaskrcnn.dehazing.pretrained import load_weights, shipped_weights
from dmaskrcnn.errors import UserError

METHODS: dict[str, Callable[[], DehazingMethod]] = {
    "dark-channel": DarkChannel,
    "mscnn": MSCNN,
    "mscnn-released": partial(MSCNN, released=True),
    "aod-net": AODNet,
}


class Dehazer:
    """A dehazing method with its weights in memory, for many images; for a few, call
    :func:`dehaze`.

    Args:
        method: ``dark-channel`` (He et al. 2009), ``mscnn`` (Ren et al. 2016, as published),
            ``mscnn-released`` (as its authors' released code runs it: the coarse map is not fed to
            the fine network) or ``aod-net`` (Li et al. 2017).
        weights: a file of ``train-dehazer``; by default the project's own.
        device: where to compute; by default where the image is.

    Raises:
        UserError: for an unknown method, and weights that are missing or of another network.
    """

    def __init__(
        self,
        method: str = "dark-channel",
        weights: Path | str | None = None,
        device: torch.device | str | None = None,
    ):
        if method not in METHODS:
            raise UserError(f"method: {method!r} is none; choose from {', '.join(METHODS)}")
        self.method, self.weights = method, None if weights is None else Path(weights)
        self.device = torch.device(device) if device is not None else None
        self.network = METHODS[method]()
        if name := DEHAZERS[method].network:
            self.weights = self.weights or shipped_weights(name)
            load_weights(self.network, name, self.weights)
        elif weights is not None:
            raise UserError(
                f"weights: {weights} given, but {method} has none; choose another method or leave "
                "them out"
            )
        self.network.eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Dehazed images and intermediate maps; arguments and results as of :func:`dehaze`."""
        if images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape[-2:]:
            raise ValueError(
                "images must be (3, H, W) or (N, 3, H, W) with H, W >= 1, not "
                f"{tuple(images.shape)}"
            )
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"images must be uint8, or floats in [0, 1], not {images.dtype}")
        device = self.device or images.device
        batch = (images if images.ndim == 4 else images[None]).to(device)
        eight_bits = batch.dtype == torch.uint8
        batch = batch.contiguous(memory_format=self.network.layout)  # a mixture is slow
        hazy = batch.float().div_(255) if eight_bits else batch.float().clamp(0, 1)
        network = self.network.to(device)
        found = network.estimate(hazy, eight_bits) if len(hazy) else Estimate(hazy, {})
        clear, maps = found.clear, found.maps
        clear = clear.mul_(255).round_().to(torch.uint8) if eight_bits else clear.to(batch.dtype)
        if images.ndim == 3:
            return clear[0], {name: value[0] for name, value in maps.items()}
        return clear, maps


@overload
def dehaze(
    image: Tensor,
    method: str = ...,
    weights: Path | str | None = ...,
    device: Any = ...,
    return_maps: Literal[False] = ...,
) -> Tensor: ...
@overload
def dehaze(
    image: Tensor,
    method: str = ...,
    weights: Path | str | None = ...,
    device: Any = ...,
    *,
    return_maps: Literal[True],
) -> tuple[Tensor, dict[str, Tensor]]: ...
def dehaze(
    image: Tensor,
    method: str = "dark-channel",
    weights: Path | str | None = None,
    device: torch.device | str | None = None,
    return_maps: bool = False,
) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
    """Remove haze from an image or a batch of images of one size.

    Args:
        image: RGB, ``(3, H, W)`` or ``(N, 3, H, W)``, uint8 or floats in [0, 1]; any size from 1 by
            1.
        method: see :class:`Dehazer`.
        weights: see :class:`Dehazer`.
        device: where to compute, and where the result is; by default where the image is.
        return_maps: also return what the method found on the way.

    Returns:
        The dehazed image, of the shape and dtype of ``image``. With ``return_maps`` also a dict of
        float32 maps, without N for a single image: ``airlight`` ``(N, 3)`` and ``transmission``
        ``(N, 1, H, W)`` of dark-channel and mscnn; of mscnn also ``coarse`` ``(N, 1, H, W)``, the
        coarse network's; ``k`` ``(N, 3, H, W)`` of aod-net, which has no airlight or transmission
        of its own. :func:`draw_maps` shows them.

    Raises:
        UserError: for an unknown method, and weights that are missing or of another network.
        ValueError: for another shape or dtype.
    """
    clear, maps = Dehazer(method, weights, device)(image)
    return (clear, maps) if return_maps else clear
