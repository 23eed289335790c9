"""The lowest scores that count. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Lowest scores.

    Attributes:
        box: of a box, before NMS; None: the detector's own.
        mask: of a box that gets a mask.
    """

    box: float | None = None
    mask: float = 0.0


USUAL = Limits()
