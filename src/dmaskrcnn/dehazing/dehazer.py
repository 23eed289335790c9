"""``dehaze``: one function for all methods, on one image or a batch, on CPU or GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from dmaskrcnn.dehazing import aodnet, dark_channel, mscnn
from dmaskrcnn.dehazing.pretrained import load_weights, shipped_weights
from dmaskrcnn.errors import UserError

METHODS = ("dark-channel", "mscnn", "mscnn-released", "aod-net")


class Dehazer:
    """A dehazing method with its weights in memory, for many images; for a few, call
    :func:`dehaze`.

    Args:
        method: ``dark-channel`` (He et al. 2009), ``mscnn`` (Ren et al. 2016, as published),
            ``mscnn-released`` (as its authors' released code runs it: the coarse map is not fed to
            the fine network) or ``aod-net`` (Li et al. 2017).
        weights: a file, see :func:`~dmaskrcnn.dehazing.pretrained.load_weights`; by default the
            project's own.
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
        if method == "dark-channel" and weights is not None:
            raise UserError(
                f"weights: {weights} given, but dark-channel has none; choose another "
                "method or leave them out"
            )
        self.method = method
        self.device = torch.device(device) if device is not None else None
        self.weights = None
        self.network: torch.nn.Module | None = None
        if method != "dark-channel":
            name = "aod-net" if method == "aod-net" else "mscnn"
            self.network = (
                aodnet.AODNet()
                if name == "aod-net"
                else mscnn.MSCNN(released=method == "mscnn-released")
            )
            self.weights = Path(weights) if weights is not None else shipped_weights(name)
            load_weights(self.network, name, self.weights)
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
        # AOD-Net works on whole pixels, the filters of the others on planes; mixing the two layouts
        # is slow.
        batch = batch.contiguous(
            memory_format=torch.channels_last
            if self.method == "aod-net"
            else torch.contiguous_format
        )
        hazy = batch.float().div_(255) if batch.dtype == torch.uint8 else batch.float().clamp(0, 1)
        rounded = batch.dtype == torch.uint8
        clear, maps = self._compute(hazy, rounded) if len(hazy) else (hazy, {})
        clear = (
            clear.mul_(255).round_().to(torch.uint8)
            if batch.dtype == torch.uint8
            else clear.to(batch.dtype)
        )
        if images.ndim == 3:
            return clear[0], {name: value[0] for name, value in maps.items()}
        return clear, maps

    def _compute(self, hazy: Tensor, rounded: bool) -> tuple[Tensor, dict[str, Tensor]]:
        network = self.network.to(hazy.device) if self.network is not None else None
        if isinstance(network, aodnet.AODNet):
            # Where the result is rounded to 8 bits anyway, half the precision is enough for the
            # inner layers.
            half = rounded and hazy.device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
            k = network(hazy, inner_dtype=torch.bfloat16 if half else None)
            return aodnet.clear(hazy, k), {"k": k}
        if isinstance(network, mscnn.MSCNN):
            airlight, transmission, coarse = mscnn.estimate(network, hazy)
            maps = {"airlight": airlight, "transmission": transmission, "coarse": coarse}
        else:
            airlight, transmission = dark_channel.estimate(hazy)
            maps = {"airlight": airlight, "transmission": transmission}
        light = airlight[:, :, None, None]
        return (hazy - light).div_(transmission).add_(light).clamp_(0, 1), maps


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
