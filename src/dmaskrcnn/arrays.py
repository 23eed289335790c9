"""Where PyTorch ends: arrays as tensors where it is installed, and as NumPy arrays where it is not.

A tensor and an array answer alike to indexing, comparison, ``shape``, ``min``, ``tolist``; what
differs is here.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@cache
def torch_or_none() -> Any:
    """PyTorch, or None where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError:
        return None


def as_tensor(values: NDArray[Any]) -> Tensor:
    """A tensor on the array's memory; without PyTorch the array itself, which answers alike."""
    torch = torch_or_none()
    return values if torch is None else torch.from_numpy(values)  # pyright: ignore[reportReturnType]


def as_image(pixels: NDArray[Any]) -> Tensor:
    """An image ``(H, W, 3)`` as detectors take it: a tensor ``(3, H, W)``, channels last in memory,
    which torchvision resizes fastest; without PyTorch the array itself."""
    torch = torch_or_none()
    if torch is None:
        return pixels  # pyright: ignore[reportReturnType]
    if not pixels.flags.writeable or any(stride < 0 for stride in pixels.strides):
        pixels = pixels.copy()  # torch warns of the one, and refuses the other
    return torch.from_numpy(pixels).permute(2, 0, 1)


def as_array(values: Any) -> NDArray[Any]:
    """A NumPy array of a tensor, wherever it is, or of an array."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def dtype_name(values: Tensor | NDArray[Any]) -> str:
    """``float32``, ``bool``, … of both."""
    return str(values.dtype).removeprefix("torch.")
