"""The size at which a network sees a picture. Imports no torch."""

from __future__ import annotations


def target_size(height: int, width: int, short_side: float, long_side: float) -> tuple[int, int]:
    """``(height, width)`` with the shorter side at ``short_side`` unless the longer one would
    exceed ``long_side``."""
    scale = min(short_side / min(height, width), long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
