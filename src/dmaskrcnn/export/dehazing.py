"""Dehazing as a graph of its own, which works on the whole picture before it is resized.

AOD-Net, and MSCNN as published and as released. The methods of ``LEFT_OUT`` take the airlight from
a share of the pixels, of which many tie at its end: which of them are taken is the runtime's
choice, and moves the picture by up to 17 of 255 (measured on fog photographs).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.dehazing.mscnn import EPSILON, MSCNN, PATCH, T_RANGE, amplification
from dmaskrcnn.errors import UserError
from dmaskrcnn.export.tracing import write_onnx
from dmaskrcnn.haze.filters import grey
from dmaskrcnn.haze.scattering import recover

# of 255: the eager AOD-Net computes two layers in bfloat16 where the hardware has it (docs say by
# how much), and rounds once more
MOST_DIFFERENCE = 2
EXPORTED = ("aod-net", "mscnn", "mscnn-released")
CUBIC = -0.5  # a of Keys' kernel, as MATLAB's `imresize` has it


class DehazeGraph(nn.Module):
    """The dehazing of one picture.

    Args:
        method: of those in `EXPORTED`.

    Raises:
        UserError: another method.
    """

    def __init__(self, method: str) -> None:
        super().__init__()
        check_method(method)
        # no rows are left out: which, is found by looking at the picture
        self.dehazer = Dehazer(method, ignore_rows=(0, 0))
        self.network: Any = self.dehazer.network
        self.estimate = self._aod_net
        if isinstance(self.network, MSCNN):
            self.estimate = self._mscnn
            scales = (self.network.coarse, False), (self.network.fine, not self.network.released)
            self.kernels = [scale.kernels(guided) for scale, guided in scales]

    def forward(self, image: Tensor) -> Tensor:
        """uint8 ``(H, W, 3)`` to the same without haze."""
        clear = self.estimate(image.permute(2, 0, 1)[None].float() / 255).clamp(0, 1)
        return (clear * 255).round()[0].permute(1, 2, 0).to(torch.uint8)

    def _aod_net(self, hazy: Tensor) -> Tensor:
        """`AODNet.estimate`, a convolution at a time."""
        one, two, three, four, five = self.network.convolutions
        first = one(hazy).relu()
        second = two(first).relu()
        third = three(torch.cat([first, second], dim=1)).relu()
        fourth = four(torch.cat([second, third], dim=1)).relu()
        k = five(torch.cat([first, second, third, fourth], dim=1)).relu()
        return (hazy - 1) * k + 1

    def _mscnn(self, hazy: Tensor) -> Tensor:
        """`MSCNN.estimate`, for any size of the picture."""
        network = self.network
        # of what a maximum pools, the border is cut as that of a minimum
        darkest = -F.max_pool2d(-hazy, PATCH, 1, PATCH // 2)
        airlight = darkest.amax(dim=(2, 3), keepdim=True).clamp(min=1 / 255)
        height, width = hazy.shape[2], hazy.shape[3]
        seen = _take(hazy / airlight, 2, _pair(height))
        seen = _take(seen, 3, _pair(width))  # a pair at least
        coarse = _enlarge(network.coarse(seen, kernels=self.kernels[0]), seen)
        guess = None if network.released else coarse
        fine = _enlarge(network.fine(seen, guess, kernels=self.kernels[1]), seen)
        fine = fine[:, :, :height, :width]
        luma = grey(hazy)
        radius = torch.minimum(_tensor(height), _tensor(width)) // 8
        smooth = guided_filter(luma, amplification(luma, grey(airlight), fine), radius, EPSILON)
        return recover(hazy, (1 / smooth).clamp(*T_RANGE), airlight)

    def eager(self, image: Tensor) -> Tensor:
        """What `dehaze` makes of a picture, uint8 ``(3, H, W)``."""
        return self.dehazer(image)[0]

    def write(self, path: Path, picture: NDArray[np.uint8]) -> None:
        """The ONNX file; the picture is what the tracer sees, and any size runs."""
        sizes = {0: "height", 1: "width"}
        example = (torch.from_numpy(picture.copy()),)
        write_onnx(self, example, path, ["image"], ["clear"], {"image": sizes, "clear": sizes})


def check_method(method: str) -> None:
    """Raises UserError for one that cannot be exported."""
    if method not in EXPORTED:
        raise UserError(
            f"--dehaze {method}: cannot be exported; choose from {', '.join(EXPORTED)}, or "
            f"leave --dehaze out and hand over pictures that `dmaskrcnn dehaze` wrote"
        )


def _enlarge(half: Tensor, like: Tensor) -> Tensor:
    """`mscnn.enlarge` to the size of another image. Where sides are even, the cubic has a single
    tap, of 1."""
    full = F.interpolate(half, scale_factor=2, mode="nearest")
    for axis in (2, 3):
        length, wanted = full.shape[axis], like.shape[axis]
        place = (torch.arange(wanted) + 0.5) * (length / (wanted * 1.0)) - 0.5
        first = place.floor()
        shape = (-1, 1) if axis == 2 else (-1,)
        total = weights = torch.zeros(())
        for tap in range(-1, 3):
            at = first + tap
            inside = (at >= 0) & (at < length)  # of the border's pixels, the others weigh more
            weight = _keys((place - at).abs()) * inside
            taken = _take(full, axis, at.clamp(min=0).minimum(_tensor(length - 1)).long())
            total = total + taken * weight.reshape(shape)
            weights = weights + weight
        full = total / weights.reshape(shape)
    return full.clamp(0, 1)


def _keys(distance: Tensor) -> Tensor:
    """Keys' cubic kernel, of distances in [0, 2]."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance <= 1, near, far)


def guided_filter(guide: Tensor, image: Tensor, radius: Any, epsilon: float) -> Tensor:
    """`filters.guided_filter` whose radius may follow from the size of the picture."""
    guide, image = guide.double(), image.double()
    guide_mean, image_mean = _box_mean(guide, radius), _box_mean(image, radius)
    covariance = _box_mean(guide * image, radius) - guide_mean * image_mean
    slope = covariance / (_box_mean(guide * guide, radius) - guide_mean * guide_mean + epsilon)
    offset = image_mean - slope * guide_mean
    return (_box_mean(offset, radius) + _box_mean(slope, radius) * guide).float()


def _box_mean(image: Tensor, radius: Any) -> Tensor:
    for axis in (3, 2):
        length = image.shape[axis]
        place = torch.arange(length)
        low = (place - radius).clamp(min=0)
        high = (place + radius + 1).minimum(_tensor(length))
        # OpenVINO has no float64: about their mean, the sums stay small
        middle = image.mean()
        sums = F.pad(image - middle, (1, 0) if axis == 3 else (0, 0, 1, 0)).cumsum(axis)
        count = (high - low).double().reshape((-1, 1) if axis == 2 else (-1,))
        image = (_take(sums, axis, high) - _take(sums, axis, low)) / count + middle
    return image


def _take(image: Tensor, axis: int, index: Tensor) -> Tensor:
    return image.index_select(axis, index)


def _pair(length: Any) -> Tensor:
    """The places along an axis; twice the only one."""
    pair: Any = _tensor(length).clamp(min=2)
    return torch.arange(pair).minimum(_tensor(length - 1))


def _tensor(size: Any) -> Tensor:
    """A size as a tensor that tracing follows."""
    return torch.as_tensor(size)
