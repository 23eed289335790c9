"""What can be wrong with annotations: found while reading, never stopped at, so that all can be
listed at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# px a box may reach outside its picture: annotation tools round, and VOC counts from 1
ROUNDING = 2.0


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: what sort: ``"missing image"``, ``"box"``, ``"category"``, ….
        file: the file to correct.
        field: the place in that file.
        message: what is wrong there.
    """

    kind: str
    file: Path
    field: str
    message: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.field}: {self.message}"
            if self.field
            else f"{self.file}: {self.message}"
        )


def count_kinds(problems: list[Problem]) -> str:
    """``3 × box, 1 × missing image``."""
    return ", ".join(
        f"{count} × {kind}" for kind, count in Counter(p.kind for p in problems).most_common()
    )


NOT_READ = "not read"  # the kind of notes on shapes that are neither box, polygon nor mask


def not_read(notes: Sequence[Problem]) -> str | None:
    """What shapes were not read, if any: what they mark is background to whoever uses the rest."""
    shapes = sorted({note.field for note in notes if note.kind == NOT_READ})
    return f"shapes that are not read count as background ({', '.join(shapes)})" if shapes else None


def check_box(
    box: tuple[float, float, float, float], height: int, width: int
) -> tuple[tuple[float, float, float, float] | None, str | None]:
    """Clip a box to its picture, or say what is wrong with it.

    Args:
        box: xyxy in pixel edges, 0-based.
        height: of the picture, px.
        width: of the picture, px.

    Returns:
        The box, clipped, and None; or None and the reason: not finite, inverted or without area, or
        more than 2 px outside.
    """
    if not all(math.isfinite(v) for v in box):
        return None, "the box is not finite"
    x0, y0, x1, y1 = box
    shown = f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}]"
    if x1 < x0 or y1 < y0:
        return None, f"the box {shown} (x0, y0, x1, y1) is inverted"
    if x1 == x0 or y1 == y0:
        return None, f"the box {shown} (x0, y0, x1, y1) has no area"
    if x0 < -ROUNDING or y0 < -ROUNDING or x1 > width + ROUNDING or y1 > height + ROUNDING:
        return None, f"the box {shown} (x0, y0, x1, y1) lies outside the {width}x{height} picture"
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        return None, f"the box {shown} (x0, y0, x1, y1) lies outside the {width}x{height} picture"
    return clipped, None
