"""Dehazing: dark channel prior, MSCNN and AOD-Net behind one function."""

from dmaskrcnn.dehazing.dehazer import METHODS, Dehazer, dehaze
from dmaskrcnn.dehazing.maps import draw_maps

__all__ = ["METHODS", "Dehazer", "dehaze", "draw_maps"]
