"""The lowest scores that count. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

from dmaskrcnn.errors import UserError


class Limits(NamedTuple):
    """Lowest scores.

    Attributes:
        box: of a box, before NMS; None: the detector's own.
        mask: of a box that gets a mask.
    """

    box: float | None = None
    mask: float = 0.0


USUAL = Limits()


def check_threshold(threshold: float) -> None:
    """Raises UserError for what is no score."""
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold: {threshold:g} is no score; give a value from 0 to 1")
