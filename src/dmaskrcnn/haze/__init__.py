"""Haze: the scattering model that puts it into an image."""

from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.haze.scattering import (
    add_haze,
    extinction,
    random_airlight,
    remove_haze,
    scatter,
    smooth_field,
    transmission,
)

__all__ = [
    "DepthMaps",
    "add_haze",
    "extinction",
    "random_airlight",
    "remove_haze",
    "scatter",
    "smooth_field",
    "transmission",
]
