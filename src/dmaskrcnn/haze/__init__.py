"""Haze: the scattering model that puts it into an image."""

from dmaskrcnn.haze.scattering import add_haze, extinction, random_airlight, remove_haze, smooth_field, transmission

__all__ = ["add_haze", "extinction", "random_airlight", "remove_haze", "smooth_field", "transmission"]
