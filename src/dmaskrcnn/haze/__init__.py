"""Haze: the scattering model that puts it into an image, and takes it out."""

from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.haze.scattering import (
    add_haze,
    extinction,
    random_airlight,
    ray_length,
    recover,
    scatter,
    smooth_field,
    through_haze,
    transmission,
)

__all__ = [
    "DepthMaps",
    "add_haze",
    "extinction",
    "random_airlight",
    "ray_length",
    "recover",
    "scatter",
    "smooth_field",
    "through_haze",
    "transmission",
]
