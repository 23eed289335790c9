"""Whatever shows a picture → one form; folders, patterns and lists → their pictures.

This is the one place where a person hands pictures over from Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dmaskrcnn.arrays import as_image
from dmaskrcnn.data.dynamic_range import spread_range
from dmaskrcnn.data.globs import is_pattern, match
from dmaskrcnn.data.image import decode_pixels, list_images, to_rgb
from dmaskrcnn.errors import UserError, first_line

if TYPE_CHECKING:
    from torch import Tensor

Picture: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor"
Channels = Literal["rgb", "bgr"]

_ROUNDING = 1 / 255  # of floats beyond [0, 1]: less than a step of 8 bits is no other range
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of more than 8 bits
_ARRAYS = "an array (H, W, 3) or a tensor (3, H, W)"
_FORMS = f"a path, bytes, a PIL image, {_ARRAYS}"


def image_pixels(image: Picture, channels: Channels = "rgb", name: str = "image") -> NDArray[Any]:
    """A picture in whatever form → RGB ``(H, W, 3)``.

    Args:
        image: a path; the bytes of a file; a PIL image of any mode, turned upright as its EXIF data
            say; a NumPy array ``(H, W, 3)``, grey ``(H, W)`` or ``(H, W, 1)``, or channels first; a
            tensor ``(3, H, W)``, ``(1, H, W)`` or ``(H, W)``. Arrays and tensors are uint8, or
            floats in [0, 1]; arrays of uint16 are read by their own range, as files of more than 8
            bits are (see `dynamic_range`).
        channels: the order in arrays and tensors; ``bgr`` is OpenCV's. Files and PIL images know
            their own.
        name: of the picture, for errors.

    Returns:
        uint8, or floats in [0, 1] where such were given; it may share the memory of ``image``.

    Raises:
        UserError: a file that cannot be read, another type, shape or dtype, floats outside [0, 1].
    """
    if channels not in ("rgb", "bgr"):
        raise UserError(f"channels: {channels!r} is no order of colours; give 'rgb' or 'bgr'")
    if isinstance(image, (str, os.PathLike)):
        return decode_pixels(Path(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode_pixels(bytes(image))
    if isinstance(image, Image.Image):
        return _of_pillow(image, name)
    if isinstance(image, np.ndarray):
        return _of_array(image, image.shape[-1:] not in ((1,), (3,)), channels, name)
    if hasattr(image, "detach"):
        values = image.detach().cpu()
        # NumPy knows no bfloat16
        array = (values.float() if values.is_floating_point() else values).numpy()
        return _of_array(array, True, channels, name)
    raise UserError(f"{name}: {type(image).__name__} is no picture; give {_FORMS}")


def image_tensor(image: Picture, channels: Channels = "rgb", name: str = "image") -> Tensor:
    """`image_pixels` as a tensor ``(3, H, W)`` on the CPU, a channels-last view where it can be."""
    return as_image(image_pixels(image, channels, name))


def as_eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Of what `image_pixels` gives, the nearest uint8."""
    if pixels.dtype == np.uint8:
        return pixels
    return (pixels * np.float32(255)).round().astype(np.uint8)


def is_one(images: Any) -> bool:
    """Whether it is one picture, not several: a folder, a pattern, a batch or an iterable."""
    if isinstance(images, (str, os.PathLike)):
        return not (os.path.isdir(images) or is_pattern(images))
    if hasattr(images, "ndim"):
        return images.ndim < 4
    whole = isinstance(images, (bytes, bytearray, memoryview, Image.Image, Mapping))
    return whole or not isinstance(images, Iterable)


def each_picture(images: Any) -> Iterator[Picture]:
    """The pictures one by one, in whatever form they are; nothing is read or kept.

    Args:
        images: one picture; a folder, searched with all its subfolders; a pattern
            (``cams/*/2026*.jpg``, ``**`` for any folders); a batch ``(N, …)``; or an iterable of
            any of these.

    Raises:
        UserError: a folder without pictures, a pattern that matches none.
    """
    if is_one(images):
        yield images
    elif isinstance(images, (str, os.PathLike)):
        yield from match(images)[1] if is_pattern(images) else _in_folder(Path(images))
    else:
        for image in images:
            yield from each_picture(image)


def each_pixels(
    images: Any, channels: Channels = "rgb"
) -> Iterator[tuple[NDArray[np.uint8], Path | None]]:
    """The pixels of each of the pictures, uint8 ``(H, W, 3)``, as they come, and the path of one
    that came from a file. Forms and errors as of `each_picture` and `image_pixels`: what is no form
    of pictures is told at once, a picture that cannot be read in its turn, by its place."""
    pictures, alone = each_picture(images), is_one(images)

    def each() -> Iterator[tuple[NDArray[np.uint8], Path | None]]:
        for place, picture in enumerate(pictures):
            name = "image" if alone else f"image {place}"
            pixels = as_eight_bits(image_pixels(picture, channels, name))
            yield pixels, Path(picture) if isinstance(picture, (str, os.PathLike)) else None

    return each()


def _in_folder(folder: Path) -> list[Path]:
    if found := list_images(folder):
        return found
    raise UserError(f"{folder}: no images in this folder; name one that holds pictures")


def _of_pillow(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    if 0 in picture.size:
        raise UserError(f"{name}: a PIL image without pixels, {picture.size}; give one that has")
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in _DEEP:
            upright = Image.fromarray(spread_range(np.asarray(upright)))
        return np.array(to_rgb(upright))
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        said = f"cannot read a PIL image of mode {picture.mode} ({first_line(error)})"
        raise UserError(f"{name}: {said}; convert it to RGB first") from error


def _of_array(array: np.ndarray, first: bool, channels: Channels, name: str) -> NDArray[Any]:
    """RGB ``(H, W, 3)`` of an array whose channels, if it has such, come ``first`` or last."""
    shape = array.shape
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and first:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in shape:
        raise UserError(f"{name}: expected {_ARRAYS}, got {shape}; convert it")
    if array.dtype == np.uint16:
        array = spread_range(array)
    if np.issubdtype(array.dtype, np.floating):
        check_range(float(array.min()), float(array.max()), name)
        array = array.astype(np.float32, copy=False).clip(0, 1)
    elif array.dtype != np.uint8:
        raise UserError(
            f"{name}: expected uint8 or floats in [0, 1], got {array.dtype}; convert it"
        )
    if array.shape[-1] == 1:
        return array.repeat(3, axis=-1)
    return array[:, :, ::-1] if channels == "bgr" else array


def check_range(low: float, high: float, name: str) -> None:
    """Raises UserError unless floats from ``low`` to ``high`` are in [0, 1], but for rounding."""
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # nor NaN
        raise UserError(
            f"{name}: expected floats in [0, 1], got {low:g} to {high:g}; divide them by 255, or "
            "replace what is no number"
        )
