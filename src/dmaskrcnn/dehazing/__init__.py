"""Dehazing: dark channel prior, MSCNN and AOD-Net behind one function."""

from dmaskrcnn.dehazing.dehazer import Dehazer, dehaze
from dmaskrcnn.dehazing.maps import draw_maps

__all__ = ["Dehazer", "dehaze", "draw_maps"]
