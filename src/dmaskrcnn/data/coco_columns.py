"""The annotations of a COCO JSON in columns: what is as COCO itself writes it is checked for all
objects at once, as `coco_objects` checks one.

An annotation of another form, or one that is found wanting here, is left to `coco_objects`, which
says what is the matter with it. So nothing is let through here that would not be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.coco_objects import SAME
from dmaskrcnn.data.objects import as_written, packed_polygons
from dmaskrcnn.data.problems import ROUNDING
from dmaskrcnn.data.values import LARGEST_ID

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_NUMBERS = {int, float}
_BATCH = 1 << 14  # annotations


@dataclass
class Columns:
    """N annotations with a box, and polygons or no mask.

    Attributes:
        places: int64 ``(N,)``, of each among all annotations of the file.
        ids: int64 ``(N, 3)``: its own, its image's, its category's.
        boxes: float64 ``(N, 4)``, xywh in pixels.
        polygons: int64 ``(N,)``, how many each has.
        lengths: int64 ``(P,)``, the numbers of each polygon.
        numbers: float64, the polygons one after another: x, y, x, y, ….
    """

    places: Ints
    ids: Ints
    boxes: Floats
    polygons: Ints
    lengths: Ints
    numbers: Floats

    def packed(self, chosen: NDArray[np.bool_]) -> list[bytes]:
        """The masks of the chosen rows (bool ``(N,)``) as `packed_polygons`."""
        polygons = np.repeat(chosen, self.polygons)
        numbers = self.numbers[np.repeat(polygons, self.lengths)]
        return packed_polygons(numbers, self.lengths[polygons], self.polygons[chosen])

    def entry(self, row: int) -> dict[str, Any]:
        """An annotation as the file has it, but for what nobody reads."""
        number, image, category = self.ids[row].tolist()
        first = int(self.polygons[:row].sum())
        at, found = int(self.lengths[:first].sum()), []
        for length in self.lengths[first : first + self.polygons[row]].tolist():
            found.append(as_written(self.numbers[at : at + length]))
            at += length
        entry = {"id": number, "image_id": image, "category_id": category}
        return entry | {"bbox": as_written(self.boxes[row]), "segmentation": found}


Batch = tuple[Columns, list[tuple[int, Any]]]


def in_columns(entries: Sequence[Any], place: int) -> Iterator[Batch]:
    """Annotations, the first of which has this place among all, in columns; and those of another
    form, with their places."""
    for start in range(0, len(entries), _BATCH):
        yield _packed(entries[start : start + _BATCH], place + start)


def _packed(entries: Sequence[Any], place: int) -> Batch:
    plain = [_is_plain(entry) for entry in entries]
    columns = _columns(entries, plain, place)
    if columns is None:  # text among the numbers, or points in lists of their own
        plain = [p and _is_numeric(e) for p, e in zip(plain, entries, strict=True)]
        columns = _columns(entries, plain, place)
        assert columns is not None
    others = [(place + i, e) for i, (p, e) in enumerate(zip(plain, entries, strict=True)) if not p]
    return columns, others


def _is_plain(entry: Any) -> bool:
    """Whether it has the fields of an object that is no crowd, with polygons or without a mask;
    what is in the lists is not looked at."""
    if type(entry) is not dict:
        return False
    of = entry.get
    box, masks = of("bbox"), of("segmentation")
    return (
        type(box) is list
        and len(box) == 4
        and (masks is None or type(masks) is list)
        and type(number := of("id")) is int
        and type(image := of("image_id")) is int
        and type(category := of("category_id")) is int
        and min(number, image, category) > -LARGEST_ID
        and max(number, image, category) < LARGEST_ID
        and of("iscrowd", 0) in _NO
        and of("difficult", 0) in _NO
    )


_ids = itemgetter("id", "image_id", "category_id")
_NO = (0, None)


def _is_numeric(entry: dict[str, Any]) -> bool:
    return _columns([entry], [True], 0) is not None


def _columns(entries: Sequence[Any], plain: Sequence[bool], place: int) -> Columns | None:
    """The plain ones; None where one of them holds something else than numbers."""
    chosen = [entry for entry, p in zip(entries, plain, strict=True) if p]
    masks = [entry.get("segmentation") or () for entry in chosen]
    boxes = list(chain.from_iterable(entry["bbox"] for entry in chosen))
    try:
        polygons = list(chain.from_iterable(masks))
        if not set(map(type, polygons)) <= {list}:
            return None
        numbers = list(chain.from_iterable(polygons))
        if not set(map(type, chain(boxes, numbers))) <= _NUMBERS:  # True is no 1
            return None
        return Columns(
            np.flatnonzero(np.array(plain, dtype=bool)) + place,
            np.array([_ids(entry) for entry in chosen], dtype=np.int64).reshape(-1, 3),
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array([len(mask) for mask in masks], dtype=np.int64),
            np.array([len(polygon) for polygon in polygons], dtype=np.int64),
            np.array(numbers, dtype=np.float64),
        )
    except (TypeError, OverflowError):  # an integer of hundreds of digits
        return None


@dataclass
class Checked:
    """What the check of N annotations gave.

    Attributes:
        good: bool ``(N,)``; what follows counts only where it is True.
        images: int64 ``(N,)``, indices of their images.
        labels: int64 ``(N,)``.
        boxes: float64 ``(N, 4)``, xyxy in pixels, inside the picture.
    """

    good: NDArray[np.bool_]
    images: Ints
    labels: Ints
    boxes: Floats


def check_columns(
    columns: Columns,
    index_of: Mapping[int | str, int],
    label_of: Mapping[int | str, int],
    sizes: NDArray[np.int64],
) -> Checked:
    """Which of the annotations `coco_objects.read_object` would take without a word, and as what.

    Args:
        columns: the annotations.
        index_of: the index of each image id.
        label_of: the label of each category id.
        sizes: int64 ``(images, 2)``, height and width.
    """
    images = _found(columns.ids[:, 1], index_of)
    labels = _found(columns.ids[:, 2], label_of)
    good = (images >= 0) & (labels >= 0)
    size = sizes[images] if len(sizes) else np.zeros((len(images), 2), dtype=np.int64)
    height, width = size.T.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        x0, y0, w, h = columns.boxes.T
        x1, y1 = x0 + w, y0 + h
        good &= (x1 > x0) & (y1 > y0) & (x0 >= -ROUNDING) & (y0 >= -ROUNDING)
        good &= (x1 <= width + ROUNDING) & (y1 <= height + ROUNDING)
        boxes = np.stack([x0, y0, x1, y1], 1)
        boxes[:, :2] = np.maximum(boxes[:, :2], 0)
        boxes[:, 2:] = np.minimum(boxes[:, 2:], np.stack([width, height], 1))
        good &= (boxes[:, 2:] > boxes[:, :2]).all(1)
        masked = np.flatnonzero(columns.polygons)
        good[masked] &= _good_masks(columns, masked, boxes[masked], size[masked])
    return Checked(good, images, labels, boxes)


def _found(ids: Ints, index_of: Mapping[int | str, int]) -> Ints:
    """The index of each id; −1 where there is none such."""
    known = np.array([i for i in index_of if isinstance(i, int)], dtype=np.int64)
    if not len(known):
        return np.full(len(ids), -1)
    index = np.array([i for k, i in index_of.items() if isinstance(k, int)], dtype=np.int64)
    order = np.argsort(known)
    place = order[np.searchsorted(known, ids, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[place] == ids, index[place], -1)


def _good_masks(
    columns: Columns, masked: Ints, boxes: Floats, size: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which polygons are masks and fit their boxes; ``boxes`` and ``size`` are those of the
    ``masked``."""
    lengths, numbers = columns.lengths, columns.numbers
    owner = np.repeat(np.arange(len(masked)), columns.polygons[masked])
    good = np.ones(len(masked), dtype=bool)
    wrong = (lengths < 6) | (lengths % 2 == 1)
    good[owner[wrong]] = False
    if wrong.any():  # such as are left out below, as pairs would be out of step
        numbers, lengths = numbers[np.repeat(~wrong, lengths)], lengths[~wrong]
        owner = owner[~wrong]
    if not len(lengths):
        return good
    first = np.concatenate([[0], np.cumsum(lengths[:-1])])
    limit = 2.0 * size.max(1)[owner]
    low, high = np.minimum.reduceat(numbers, first), np.maximum.reduceat(numbers, first)
    good[owner[~((low >= -limit) & (high <= limit))]] = False  # NaN, too
    x, y, points = numbers[0::2], numbers[1::2], first // 2
    x0, x1 = np.minimum.reduceat(x, points), np.maximum.reduceat(x, points)
    y0, y1 = np.minimum.reduceat(y, points), np.maximum.reduceat(y, points)
    area = _areas(x, y, points, lengths // 2)
    # what is as thin as a line may hold no pixel: to be drawn; near the limit, too
    thick = np.zeros(len(masked), dtype=bool)
    thick[owner[area > 1.001 * np.maximum(x1 - x0, y1 - y0)]] = True
    start = np.flatnonzero(np.diff(owner, prepend=-1))
    whole = owner[start]  # those that have a polygon left
    height, width = size[whole].T
    bounds = np.zeros_like(boxes)
    bounds[whole, 0] = np.minimum.reduceat(x0, start).clip(0, width)
    bounds[whole, 1] = np.minimum.reduceat(y0, start).clip(0, height)
    bounds[whole, 2] = np.maximum.reduceat(x1, start).clip(0, width)
    bounds[whole, 3] = np.maximum.reduceat(y1, start).clip(0, height)
    good &= thick & (bounds[:, 2:] > bounds[:, :2]).all(1)
    return good & (_overlaps(boxes, bounds) > SAME)


def _areas(x: Floats, y: Floats, first: Ints, points: Ints) -> Floats:
    """Of polygons, px² (the shoelace formula)."""
    after = np.arange(1, len(x) + 1)
    after[first + points - 1] = first
    return np.abs(np.add.reduceat(x * y[after] - x[after] * y, first)) / 2


def _overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes, xyxy, pair by pair."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = sides.clip(0).prod(1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared)
