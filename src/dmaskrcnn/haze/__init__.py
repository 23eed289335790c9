"""Haze: the scattering model that puts it into an image, and takes it out.

Names are imported when they are first used: gauging a picture needs neither PyTorch nor SciPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = "depth_maps" if name == "DepthMaps" else "scattering"
        return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
