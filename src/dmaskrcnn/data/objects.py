"""The annotations of a whole data set in flat arrays: small, shared between forked workers, masks
as text until asked for."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dmaskrcnn.arrays import as_tensor, torch_or_none
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.data.shapes import Shapes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class ObjectTable:
    """All M objects of n images, grouped by image.

    A segmentation stays the JSON text it was, or is polygons packed by `packed_polygons`: as
    compact, lossless, and read in a tenth of the time. Rasterised it is COCO's mask.

    Attributes:
        boxes: float32 ``(M, 4)``, xyxy in pixels.
        labels: int64 ``(M,)``, 0-based.
        crowd: bool ``(M,)``.
        difficult: bool ``(M,)``.
        first: int64 ``(n + 1,)``: the objects of image i are rows ``first[i]:first[i + 1]``.
        text: uint8, the segmentations one after another; text begins with ``[`` or ``{``, packed
            polygons with a zero.
        text_first: int64 ``(M + 1,)``: object j's segmentation is ``text[text_first[j]:text_first[j
            + 1]]``; empty: no mask.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    first: np.ndarray
    text: np.ndarray
    text_first: np.ndarray

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def has_mask(self) -> np.ndarray:
        """bool ``(M,)``."""
        return np.diff(self.text_first) > 0

    def segmentation(self, row: int, for_json: bool = True) -> Any:
        """The segmentation of an object as COCO writes it; None if it has none. ``for_json``: whole
        numbers of polygons are integers."""
        text = self.text[self.text_first[row] : self.text_first[row + 1]]
        if not len(text) or text[0]:
            return json.loads(text.tobytes()) if len(text) else None
        numbers = np.frombuffer(text.tobytes(), dtype=np.float64)
        count = int(numbers[0])
        at = np.cumsum(numbers[1 : 1 + count].astype(np.int64))[:-1]
        polygons = np.split(numbers[1 + count :], at) if count > 1 else [numbers[2:]]
        return [as_written(one) if for_json else one.tolist() for one in polygons]

    def annotations(self, image: int, height: int, width: int) -> Annotations:
        """The objects of one image, its masks as they are annotated.

        Raises:
            ValueError: a mask cannot be decoded.
        """
        rows = slice(int(self.first[image]), int(self.first[image + 1]))
        has_mask = self.has_mask_of(rows)
        masks = no_masks(len(has_mask), height, width)
        if has_mask.any():
            segmentations = [self.segmentation(row, False) for row in range(rows.start, rows.stop)]
            masks = Shapes.of_segmentations(height, width, segmentations)
        return Annotations(
            as_tensor(self.boxes[rows].copy()),
            as_tensor(self.labels[rows].copy()),
            masks,
            as_tensor(has_mask),
            as_tensor(self.crowd[rows].copy()),
            as_tensor(self.difficult[rows].copy()),
        )

    def has_mask_of(self, rows: slice) -> np.ndarray:
        """bool: which of these objects have a mask."""
        return np.diff(self.text_first[rows.start : rows.stop + 1]) > 0

    def relabel(self, new_label: np.ndarray) -> ObjectTable:
        """The table with label ``l`` replaced by ``new_label[l]``; objects whose new label is −1
        are left out."""
        labels = new_label[self.labels] if len(self.labels) else self.labels
        keep = labels >= 0
        if keep.all():
            return replace(self, labels=labels)
        lengths = np.diff(self.text_first)
        return ObjectTable(
            self.boxes[keep],
            labels[keep],
            self.crowd[keep],
            self.difficult[keep],
            np.concatenate([[0], np.cumsum(keep)])[self.first].astype(np.int64),
            self.text[np.repeat(keep, lengths)],
            _offsets(lengths[keep]),
        )

    def select(self, images: np.ndarray) -> ObjectTable:
        """The table of the images (bool ``(n,)``) alone."""
        counts, lengths = np.diff(self.first), np.diff(self.text_first)
        keep = np.repeat(images, counts)
        return ObjectTable(
            self.boxes[keep],
            self.labels[keep],
            self.crowd[keep],
            self.difficult[keep],
            _offsets(counts[images]),
            self.text[np.repeat(keep, lengths)],
            _offsets(lengths[keep]),
        )

    @classmethod
    def concatenate(cls, tables: Sequence[ObjectTable]) -> ObjectTable:
        """One table for the images of all, in order."""
        if len(tables) == 1:
            return tables[0]
        return cls(
            np.concatenate([t.boxes for t in tables]),
            np.concatenate([t.labels for t in tables]),
            np.concatenate([t.crowd for t in tables]),
            np.concatenate([t.difficult for t in tables]),
            _offsets(np.concatenate([np.diff(t.first) for t in tables])),
            np.concatenate([t.text for t in tables]),
            _offsets(np.concatenate([np.diff(t.text_first) for t in tables])),
        )


class ObjectTableBuilder:
    """Collects objects in any order."""

    def __init__(self) -> None:
        self._images, self._boxes, self._labels = array("q"), array("f"), array("q")
        self._crowd, self._difficult = array("b"), array("b")
        self._texts: list[bytes] = []
        self._places = array("q")

    def add(
        self,
        image: int,
        box: tuple[float, float, float, float],
        label: int,
        segmentation: Any = None,
        crowd: bool = False,
        difficult: bool = False,
        place: int | None = None,
    ) -> None:
        """Add one object of image number ``image``; ``place``: where it comes among the objects,
        by default last."""
        self._places.append(len(self._places) if place is None else place)
        self._images.append(image)
        self._boxes.extend(box)
        self._labels.append(label)
        self._crowd.append(crowd)
        self._difficult.append(difficult)
        self._texts.append(
            b""
            if segmentation is None
            else json.dumps(segmentation, separators=(",", ":")).encode()
        )

    def add_polygons(
        self,
        images: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        places: np.ndarray,
        texts: Iterable[bytes],
    ) -> None:
        """Add many objects, none a crowd: as `add` would, one by one. ``texts`` are of
        `packed_polygons`; empty: no mask."""
        for own, new in (
            (self._images, images.astype(np.int64)),
            (self._boxes, boxes.astype(np.float32)),
            (self._labels, labels.astype(np.int64)),
            (self._places, places.astype(np.int64)),
            (self._crowd, np.zeros(len(images), dtype=np.int8)),
            (self._difficult, np.zeros(len(images), dtype=np.int8)),
        ):
            own.frombytes(new.tobytes())
        self._texts.extend(texts)

    def build(self, images: int) -> ObjectTable:
        """The table for ``images`` images; the objects of an image keep their order."""
        owner = np.array(self._images, dtype=np.int64)
        order = np.lexsort((np.array(self._places), owner))
        texts = [self._texts[i] for i in order]
        return ObjectTable(
            np.array(self._boxes, dtype=np.float32).reshape(-1, 4)[order],
            np.array(self._labels, dtype=np.int64)[order],
            np.array(self._crowd, dtype=bool)[order],
            np.array(self._difficult, dtype=bool)[order],
            _offsets(np.bincount(owner, minlength=images)),
            np.frombuffer(b"".join(texts), dtype=np.uint8),
            _offsets([len(text) for text in texts]),
        )


def packed_polygons(numbers: np.ndarray, lengths: np.ndarray, polygons: np.ndarray) -> list[bytes]:
    """Polygons of N objects as `ObjectTable` keeps them; empty for an object without any.

    Args:
        numbers: float64, the polygons one after another: x, y, x, y, ….
        lengths: int64 ``(P,)``, the numbers of each polygon.
        polygons: int64 ``(N,)``, how many each object has.

    Returns:
        Per object its number of polygons, their lengths, and their numbers: all float64, so that
        the first byte is a zero.
    """
    has = polygons > 0
    owner = np.repeat(np.arange(len(polygons)), polygons)
    size = has + polygons + np.bincount(owner, lengths, len(polygons)).astype(np.int64)
    first = _offsets(size)
    packed = np.empty(first[-1])
    packed[first[:-1][has]] = polygons[has]
    head = np.zeros(len(packed), dtype=bool)
    head[first[:-1][has]] = True
    of_lengths = np.arange(len(lengths)) - _offsets(polygons)[owner] + first[owner] + 1
    packed[of_lengths] = lengths
    head[of_lengths] = True
    packed[~head] = numbers
    data, ends = packed.tobytes(), (8 * first).tolist()
    return [data[start:end] for start, end in pairwise(ends)]


def as_written(numbers: np.ndarray) -> list[int | float]:
    """Numbers for JSON; whole ones without a point."""
    return [int(n) if n.is_integer() else n for n in numbers.tolist()]


def no_masks(count: int, height: int, width: int) -> Tensor:
    """bool ``(count, height, width)``, all False, in one byte of memory: for objects annotated with
    boxes only. Read-only."""
    size, torch = (count, height, width), torch_or_none()
    if torch is None:
        return np.broadcast_to(np.zeros((1, 1, 1), dtype=bool), size)  # pyright: ignore[reportReturnType]
    return torch.zeros(1, 1, 1, dtype=torch.bool).expand(size)


def _offsets(lengths: Any) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
