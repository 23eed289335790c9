"""How hazy a picture is, as one number without a reference.

Haze of transmission t turns a scene J into ``I = J t + A (1 - t)`` (see `scattering`). Two things
tell of ``1 - t``, and the number is their mean:

- **Veil**, by the dark channel prior (He, Sun, Tang, PAMI 2011): in clear air nearly every patch
  has something dark in some colour, so that what light it shows is airlight. The mean over the
  picture of the minimum of ``I / A`` over a patch and its colours, which is their ``1 - t`` without
  the omega that is there for looks.
- **Lost contrast**: differences shrink by t (Koschmieder 1924; Duntley 1948). ``1 - C / C0``, where
  C is the mean of standard deviation over mean (RMS contrast; Peli, JOSA A 1990) of small blocks.

The prior is misled by bright things, contrast by smooth ones, and seldom both at once. That haze
shows in such features is the idea of FADE, too (Choi, You, Bovik, TIP 2015), which fits a model of
them to a corpus; here nothing is fitted but C0. `benchmarks/gauge.py` has the ranks against known
visibility, and each half by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 256  # px that the longer side is reduced to, at least: 2 ms, and no noise of the camera
PATCH = 7  # px of the reduced picture; PAMI 2011, section 4.1, has 15 in pictures of 600
AIRLIGHT_SHARE = 0.01  # of the pixels: the most opaque ones, whose median is the airlight
SATURATED = 250  # of 255: lamps and writing, which are brighter than haze
LEAST_AIRLIGHT = 0.05  # a black frame shows no veil
BLOCK = 8  # px of the reduced picture
DARK = 0.02  # added to the mean: 5 of 255, so that noise in the dark is no contrast
CLEAR_CONTRAST = 0.3  # C0: nine of ten clear photographs (COCO) have less
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def haziness(image: NDArray[np.uint8] | Tensor) -> float:
    """From 0 (clear) to 1 (nothing but haze). It ranks pictures; it measures no metres: near walls
    are seen through fog, far ones are not.

    Args:
        image: uint8, RGB, of any size: an array ``(H, W, 3)``, or a tensor ``(3, H, W)``.

    Raises:
        ValueError: another shape or dtype.
    """
    small = _reduced(image if isinstance(image, np.ndarray) else _as_array(image))
    return (_veil(small) + _lost_contrast(small)) / 2


def _as_array(image: Tensor) -> NDArray[np.uint8]:
    return image.movedim(0, -1).cpu().numpy()


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    factor = max(1, max(image.shape[:2]) // SIDE)
    return np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image


def _veil(image: NDArray[np.uint8]) -> float:
    """The mean of ``1 - t``, in [0, 1], of uint8 ``(H, W, 3)``."""
    darkest = _least_colour(image)
    opaque = _dark_channel(darkest).astype(np.int16)
    opaque[darkest > SATURATED] -= 256  # last, if all else is too few
    count = max(1, round(AIRLIGHT_SHARE * opaque.size))
    haziest = np.argpartition(opaque, -count, axis=None)[-count:]
    airlight = np.median(image.reshape(-1, 3)[haziest], axis=0) / 255
    veiled = np.minimum(image / np.maximum(airlight, LEAST_AIRLIGHT).astype(np.float32), 255)
    return float(_dark_channel(_least_colour(veiled).astype(np.uint8)).mean()) / 255


def _least_colour(image: NDArray[Any]) -> NDArray[Any]:
    """The minimum over the colours of ``(H, W, 3)``; 20 times as fast as along an axis of 3."""
    return np.minimum(np.minimum(image[..., 0], image[..., 1]), image[..., 2])


def _dark_channel(darkest: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The minimum over patches of uint8 ``(H, W)``; at the border, over what is there of them."""
    for _ in range(2):  # along one axis, then along the other
        padded = np.pad(darkest, ((PATCH // 2, PATCH // 2), (0, 0)), constant_values=255)
        rows = [padded[shift : shift + len(darkest)] for shift in range(PATCH)]
        darkest = np.ascontiguousarray(np.minimum.reduce(rows).T)
    return darkest


def _lost_contrast(image: NDArray[np.uint8]) -> float:
    """``1 - C / C0``, in [0, 1], of uint8 ``(H, W, 3)``."""
    luma = image @ (LUMA / 255)
    height, width = luma.shape
    side = min(BLOCK, height, width)
    rows, columns = height // side, width // side
    blocks = luma[: rows * side, : columns * side].reshape(rows, side, columns, side)
    contrast = blocks.std(axis=(1, 3)) / (blocks.mean(axis=(1, 3)) + DARK)
    return max(0.0, 1 - float(contrast.mean()) / CLEAR_CONTRAST)
