"""In which frame the boxes of a rotated picture lie: upright, as EXIF would have it shown, or as
stored.

Annotations do not say. Most tools state the size of the frame they draw in, so the stated size
tells; Label Studio states the stored size beside boxes of the upright picture
(HumanSignal/label-studio#6608).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from dmaskrcnn.data.image import image_size

Orientation = Literal["auto", "stored", "upright"]


def boxes_frame(
    file: Path, stated: tuple[int, int] | None, orientation: Orientation
) -> tuple[int, int]:
    """``(height, width)`` of the frame that the boxes of a picture refer to.

    Args:
        file: the picture; its header is read where it is needed.
        stated: the size that the annotations state, if any. One that is no size of the picture
            comes back as it is: decoding tells.
        orientation: ``"auto"``: as the stated size says, and upright where it says nothing.

    Raises:
        UserError: the picture is missing or none.
    """
    if stated is not None and orientation == "auto":
        return stated
    displayed, stored = image_size(file)
    if stated is not None and stated not in (displayed, stored):
        return stated
    return stored if orientation == "stored" else displayed


def of_tool(info: Any, orientation: Orientation) -> Orientation:
    """``auto`` settled where the ``info`` of a COCO JSON names a tool whose frame is known."""
    tool = info.get("contributor") if isinstance(info, dict) else None
    return "upright" if orientation == "auto" and tool == "Label Studio" else orientation


def turned_hint(file: Path, box: tuple[float, ...], size: tuple[int, int]) -> str:
    """What to say of a box outside its picture where it would lie inside the picture turned
    upright; empty otherwise."""
    displayed, stored = image_size(file)
    other = displayed if size == stored else stored
    if other == size or box[2] > other[1] + 1 or box[3] > other[0] + 1:
        return ""
    way = "upright" if other == displayed else "stored"
    return (
        f"; it fits the picture {'as EXIF turns it' if way == 'upright' else 'as it is stored'}: "
        f"state that size, or use --orientation {way}"
    )
