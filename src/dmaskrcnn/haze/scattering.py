"""The atmospheric scattering model, ``I = J t + A (1 - t)`` with ``t = exp(-beta d)``.

Koschmieder, "Theorie der horizontalen Sichtweite", Beitr. Phys. freien Atmos. 12, 1924: what
reaches the camera is the object's own light J, attenuated over the line of sight d, plus airlight A
scattered into it. Dehazing work (Narasimhan and Nayar 2002, He et al. 2009, RESIDE 2018) applies it
to display-referred (sRGB) values, and so does this module. The line of sight is longer than the
depth along the camera's axis, off the axis: see :func:`ray_length`.

Units: distances and visibilities in metres, extinction in 1/m, intensities in [0, 1].
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor

from dmaskrcnn.data.picture_input import image_pixels
from dmaskrcnn.errors import UserError

# Visibility is the meteorological optical range, what weather stations and airports report: where
# the contrast of a black object has fallen to 5 % (CIE, ICAO, WMO; Foggy Cityscapes), V = ln(20) /
# beta = 2.996 / beta. Koschmieder himself had 2 %, 3.912 / beta.
CONTRAST_AT_VISIBILITY = 0.05

Image = TypeVar("Image", NDArray[np.uint8], NDArray[np.float32])
Floats = TypeVar("Floats", NDArray[np.floating], Tensor)


def extinction(visibility: float) -> float:
    """The extinction coefficient beta [1/m] of air with this visibility [m] (meteorological optical
    range); 0 for infinite visibility.

    Raises:
        ValueError: the visibility is not positive.
    """
    if not visibility > 0:
        raise ValueError(f"visibility must be positive metres, not {visibility}")
    return float(-np.log(CONTRAST_AT_VISIBILITY) / visibility)


def ray_length(depth: NDArray[np.floating], focal: float) -> NDArray[np.float32]:
    """Metres along the line of sight, float32 ``(H, W)``, of depths along the camera's axis.

    What stereo, depth networks and most depth maps give is along the axis. At the left and right
    edge of a picture with a field of view of 53 degrees (focal length = width) the way of the light
    is 12 % longer. The axis is taken to go through the middle of the picture.

    Args:
        depth: ``(H, W)``, metres; ``inf`` is allowed.
        focal: focal length in px; ``inf`` where the depths are along the line of sight already.
    """
    y, x = (
        (np.arange(n, dtype=np.float32) + np.float32((1 - n) / 2)) / np.float32(focal)
        for n in depth.shape
    )
    return np.asarray(depth, np.float32) * np.sqrt(1 + x**2 + y[:, None] ** 2)


def transmission(
    depth: NDArray[np.floating], beta: float | NDArray[np.floating]
) -> NDArray[np.float32]:
    """The share of light that survives the way to the camera, ``exp(-beta d)``.

    Args:
        depth: ``(H, W)``, metres along the line of sight; ``inf`` is allowed (the sky).
        beta: extinction in 1/m, one value or ``(H, W)``, >= 0. Zero means no haze at any depth, the
            sky included.

    Returns:
        float32 ``(H, W)`` in [0, 1].
    """
    beta = np.asarray(beta, dtype=np.float32)
    # 1e30 stands for infinity: 0 * inf would be nan where there is no haze.
    optical_depth = np.minimum(np.asarray(depth, dtype=np.float32), np.float32(1e30)) * beta
    return np.exp(-optical_depth)


def through_haze(
    radiance: Floats, transmission: Floats, airlight: Floats, evenness: Floats | float = 1
) -> Floats:
    """The model, ``I = J t + A (1 - t)``, of arrays or tensors that broadcast against each other.

    Args:
        radiance: J, float, the shape of the result.
        transmission: t, in [0, 1].
        airlight: A, a colour.
        evenness: factors of the airlight, for a veil that is brighter here than there.
    """
    veil = evenness * (1 - transmission)
    if isinstance(radiance, Tensor):  # one pass less
        return (radiance * transmission).addcmul_(veil, airlight)  # pyright: ignore[reportArgumentType]
    return radiance * transmission + airlight * veil


def recover(hazy: Floats, transmission: Floats, airlight: Floats) -> Floats:
    """The model solved for the scene, ``J = (I - A) / t + A`` (He et al. 2009, eq. 16).

    Args:
        hazy: I, float, the shape of the result.
        transmission: t, in (0, 1]; keep it above 0.1 or so, against the noise that division would
            amplify.
        airlight: A, a colour.

    Returns:
        The radiance, not clipped: values outside [0, 1] tell of a wrong transmission or airlight.
    """
    radiance = hazy - airlight
    radiance /= transmission
    radiance += airlight
    return radiance


@overload
def add_haze(image: Image, depth: NDArray[np.floating], *args: Any, **options: Any) -> Image: ...
@overload
def add_haze(
    image: Any, depth: NDArray[np.floating], *args: Any, **options: Any
) -> NDArray[Any]: ...
def add_haze(
    image: Any,
    depth: NDArray[np.floating],
    beta: float,
    airlight: tuple[float, float, float],
    *,
    inhomogeneity: float = 0.0,
    blur: float = 0.0,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> NDArray[Any]:
    """The image as seen through haze.

    Args:
        image: ``(H, W, 3)``, RGB, uint8 or floats in [0, 1]; or a path, bytes, a PIL image, a
            tensor: see `picture_input.image_pixels`.
        depth: ``(H, W)``, metres along the line of sight; ``inf`` is allowed.
        beta: mean extinction in 1/m; from a visibility in metres by :func:`extinction`.
        airlight: RGB in [0, 1]; see :func:`random_airlight`.
        inhomogeneity: standard deviation of the smooth field that multiplies beta (drifting
            patches); 0.3 is plainly visible.
        blur: standard deviation in pixels of the forward scattering's glow; it grows with ``1 -
            t``: what is near stays sharp.
        noise: standard deviation of the sensor's noise, in [0, 1] intensities.
        rng: required where ``inhomogeneity`` or ``noise`` is not 0.

    Returns:
        ``(H, W, 3)``, dtype of ``image``.

    Raises:
        UserError: no image, or one of another size than ``depth``.
    """
    if not isinstance(image, np.ndarray):
        image = image_pixels(image)
    if image.shape[:2] != depth.shape:
        sizes = f"depth is {depth.shape}, the image {image.shape[:2]} (height, width)"
        raise UserError(f"depth: {sizes}; resize it to the image")
    if (inhomogeneity or noise) and rng is None:
        raise ValueError("inhomogeneity and noise are random: pass rng")
    height, width = depth.shape
    extinctions: float | NDArray[np.floating] = beta
    if inhomogeneity and rng is not None:
        extinctions = beta * np.exp(inhomogeneity * smooth_field(rng, height, width, cells=3))
    return scatter(
        image, transmission(depth, extinctions), airlight, blur=blur, noise=noise, rng=rng
    )


def scatter(
    image: Image,
    transmission: NDArray[np.floating],
    airlight: tuple[float, float, float],
    *,
    blur: float = 0.0,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Image:
    """The image as seen through haze of a known transmission, ``J t + A (1 - t)``.

    Args:
        image: ``(H, W, 3)``, RGB, uint8 or floats in [0, 1].
        transmission: ``(H, W)`` in [0, 1]; see :func:`transmission`.
        airlight: RGB in [0, 1].
        blur: as in :func:`add_haze`.
        noise: as in :func:`add_haze`.
        rng: required where ``noise`` is not 0.

    Returns:
        ``(H, W, 3)``, dtype of ``image``.
    """
    clear = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image.astype(np.float32)
    t = transmission[..., None]
    if blur:
        clear = clear + (1 - t) * (gaussian_filter(clear, (blur, blur, 0)) - clear)
    hazy = through_haze(clear, t, np.asarray(airlight, dtype=np.float32))
    if noise and rng is not None:
        hazy += noise * rng.standard_normal(hazy.shape, dtype=np.float32)
    hazy = hazy.clip(0, 1)
    return (hazy * 255 + 0.5).astype(np.uint8) if image.dtype == np.uint8 else hazy  # pyright: ignore[reportReturnType]


def random_airlight(rng: np.random.Generator) -> tuple[float, float, float]:
    """An airlight between blueish grey and warm white: brightness 0.6 to 0.9, channels within 0.03
    of it.

    The ranges enclose the sky's colour in photographs of daylight fog (DAWN); nights and sand
    storms are left out.
    """
    brightness, warmth = rng.uniform(0.6, 0.9), rng.uniform(-0.03, 0.025)
    return brightness + warmth, brightness + 0.2 * warmth, brightness - warmth


def smooth_field(
    rng: np.random.Generator, height: int, width: int, cells: int
) -> NDArray[np.float32]:
    """A random field without detail: white noise on a coarse grid, interpolated cubically.

    Args:
        rng: the source of randomness.
        height: rows of the result.
        width: columns of the result.
        cells: grid cells along each side; fewer is smoother.

    Returns:
        float32 ``(height, width)``, zero mean and unit standard deviation (constant 0 for a single
        pixel).
    """
    grid = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    fine = np.asarray(
        zoom(grid, (height / cells, width / cells), order=3, mode="nearest", grid_mode=True)
    )
    top, left = (fine.shape[0] - height) // 2, (fine.shape[1] - width) // 2
    fine = fine[top : top + height, left : left + width]
    fine = fine - fine.mean()
    deviation = float(fine.std())
    return fine / deviation if deviation > 0 else fine
