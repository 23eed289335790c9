"""One annotation of a COCO JSON: its fields checked, box and mask compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dmaskrcnn.data.problems import check_box
from dmaskrcnn.data.segmentation import Box, EmptyMaskError, Mask, overlap, read_segmentation
from dmaskrcnn.data.values import flag, numbers, shown

# Exporters derive the box from the mask: IoU 0.9 and more. Below a half one of the two is wrong,
# or the box is amodal (of the whole object, behind what hides it): trained on, but said.
AGREE = 0.5
SAME = 0.75  # a box that fits its mask worse than this,
_CORNERS_FIT = 0.9  # but better than that as corners, is corners

_CORNERS = "; is bbox x1, y1, x2, y2 instead of x, y, width, height?"


class InvalidEntryError(Exception):
    """An entry that cannot be used: the kind of problem, the field, the reason, and the box, xyxy,
    where it lies outside the picture."""

    def __init__(self, kind: str, field: str, reason: str, box: Box | None = None) -> None:
        super().__init__(reason)
        self.kind, self.field, self.reason, self.box = kind, field, reason, box


@dataclass
class CocoObject:
    """The fields of one annotation.

    Attributes:
        box: xyxy in pixels, inside the picture.
        segmentation: None: box only.
        crowd: COCO's flag.
        difficult: Pascal VOC's flag, where a converter wrote it.
        notes: what is worth knowing: per kind, field and text.
        empty_mask: what is wrong with a mask that covers nothing and is left out; else None.
    """

    box: Box
    segmentation: Any
    crowd: bool
    difficult: bool
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    empty_mask: str | None = None


def read_object(entry: dict[str, Any], height: int, width: int) -> CocoObject:
    """Read ``bbox``, ``segmentation``, ``iscrowd`` and ``difficult`` of an annotation in a picture
    of this size.

    A missing ``bbox`` is taken from the mask. A segmentation that covers nothing is left out.

    Raises:
        InvalidEntryError: a field is of another type or contradicts the picture, or ``bbox`` are
            corners.
    """
    notes: list[tuple[str, str, str]] = []
    empty = None
    try:
        mask = read_segmentation(entry.get("segmentation"), height, width)
    except EmptyMaskError as error:
        mask = None
        if error.tiny:
            notes.append(("tiny mask", ".segmentation", f"{error}: read as a box only"))
        else:
            empty = f"{error}: correct it, or remove it to train on the box alone"
    except ValueError as error:
        raise InvalidEntryError("mask", ".segmentation", str(error)) from error
    crowd, difficult = _flag(entry, "iscrowd"), _flag(entry, "difficult")
    if mask is not None and entry.get("bbox") in (None, []):
        notes.append(("box of mask", ".bbox", "is missing: the box is that of the mask"))
        return CocoObject(mask.bounds, mask.segmentation, crowd, difficult, notes)
    box = _read_box(entry.get("bbox"), height, width)
    if mask is not None and not crowd and (text := _disagreement(entry["bbox"], box, mask)):
        notes.append(("box and mask", ".bbox", text))
    as_text = [name for name in ("iscrowd", "difficult") if isinstance(entry.get(name), str)]
    if any(isinstance(value, str) for value in entry["bbox"]):
        as_text.append("bbox")
    notes += [("text", f".{name}", "is written as text: read as what it says") for name in as_text]
    segmentation = None if mask is None else mask.segmentation
    return CocoObject(box, segmentation, crowd, difficult, notes, empty)


def _flag(entry: dict[str, Any], name: str) -> bool:
    value = flag(entry.get(name))
    if value is None:
        raise InvalidEntryError("flag", f".{name}", f"is {shown(entry[name])}, neither 0 nor 1")
    return value


def _read_box(value: Any, height: int, width: int) -> Box:
    xywh = numbers(value, 4)
    if xywh is None:
        raise InvalidEntryError("box", ".bbox", f"is {shown(value)}, not [x, y, width, height]")
    x, y, w, h = xywh
    box, reason = check_box((x, y, x + w, y + h), height, width)
    if box is None:
        if "outside" not in str(reason):
            raise InvalidEntryError("box", ".bbox", str(reason))
        hint = _CORNERS if check_box((x, y, w, h), height, width)[0] else ""
        raise InvalidEntryError("box", ".bbox", f"{reason}{hint}", (x, y, x + w, y + h))
    return box


def _disagreement(xywh: list[Any], box: Box, mask: Mask) -> str:
    """What to say of a box that is not that of its mask; empty where they agree.

    Raises:
        InvalidEntryError: the numbers fit the mask as corners.
    """
    same = overlap(box, mask.bounds)
    if same >= SAME:
        return ""
    x0, y0, x1, y1 = map(float, xywh)
    left, top, right, bottom = mask.bounds
    text = (
        f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}] (x, y, width, height) and the mask, which covers x "
        f"{left:g} to {right:g} and y {top:g} to {bottom:g}, disagree"
    )
    if x1 > x0 and y1 > y0 and overlap((x0, y0, x1, y1), mask.bounds) > _CORNERS_FIT:
        raise InvalidEntryError("box", ".bbox", text + _CORNERS)
    return text if same < AGREE else ""
