"""Where PyTorch ends: arrays as tensors where it is at hand, and as NumPy arrays where it is not:
not installed, or not wanted by a verb that needs no network and would wait seconds for it.

A tensor and an array answer alike to indexing, comparison, ``shape``, ``min``, ``tolist``; what
differs is here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


_arrays_alone = False


@contextmanager
def arrays_alone() -> Iterator[None]:
    """Work as where PyTorch is not installed, in all threads. Of the command line: whoever imports
    this package is promised tensors."""
    global _arrays_alone  # as Pillow's limit of pixels: an option of the whole program
    before, _arrays_alone = _arrays_alone, True
    try:
        yield
    finally:
        _arrays_alone = before


def torch_or_none() -> Any:
    """PyTorch, or None where it is not installed or `arrays_alone`."""
    return None if _arrays_alone else _torch()


@cache
def _torch() -> Any:
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
