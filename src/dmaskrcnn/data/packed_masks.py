"""Masks as they are kept: packed run lengths, from the network to scores, JSON and pictures. Frames
of a byte a pixel and object are made where somebody reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.arrays import as_array, as_tensor
from dmaskrcnn.data.rle import compressed, counts_between, pack, pixel_changes, unpack

if TYPE_CHECKING:
    from torch import Tensor


# Runs that are packed together: one by one small masks would take long, and all of a large picture
# hundreds of megabytes.
AT_ONCE = 1 << 16


class Crop(NamedTuple):
    """What of a mask lies in a window of the picture; outside it there is none.

    Attributes:
        top, left: of the window, px.
        inside: bool ``(h, w)``; ``(0, 0)`` of a mask that covers nothing.
    """

    top: int
    left: int
    inside: NDArray[np.bool_]


NOTHING = Crop(0, 0, np.zeros((0, 0), dtype=bool))


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """The masks of N objects in one picture.

    ``masks[keep]`` takes a bool or int64 index tensor or array, or a slice.

    Attributes:
        height, width: of the picture, px.
        counts: COCO's packed run lengths of each mask, see `dmaskrcnn.data.rle`.
    """

    height: int
    width: int
    counts: tuple[str, ...]

    @classmethod
    def of_crops(cls, height: int, width: int, crops: Iterable[Crop]) -> PackedMasks:
        """From the window of each mask, which lies in the picture; may be a generator, of which one
        at a time is in memory."""
        texts: list[str] = []
        changes: list[NDArray[np.int64]] = []
        for top, left, part in crops:
            changes.append(pixel_changes(part, top, left, height))
            if sum(map(len, changes)) > AT_ONCE:
                texts += pack(*counts_between(changes, height * width))
                changes.clear()
        texts += pack(*counts_between(changes, height * width))
        return cls(height, width, tuple(texts))

    @classmethod
    def of_frames(cls, frames: Tensor | NDArray[np.bool_]) -> PackedMasks:
        """From bool ``(N, H, W)``."""
        arrays = as_array(frames)
        count, height, width = arrays.shape
        if arrays.size and not any(arrays.strides) and not arrays.flat[0]:  # `objects.no_masks`
            return cls.nothing(count, height, width)
        return cls.of_crops(height, width, (Crop(0, 0, frame) for frame in arrays))

    @classmethod
    def nothing(cls, count: int, height: int, width: int) -> PackedMasks:
        """Masks that cover nothing."""
        return cls(height, width, cls.of_crops(height, width, [NOTHING]).counts * count)

    @classmethod
    def of_segmentations(cls, height: int, width: int, segmentations: Sequence[Any]) -> PackedMasks:
        """From what COCO's field ``segmentation`` may hold, checked by `check_rle` where it is run
        lengths; None: nothing.

        Raises:
            ValueError: one cannot be read, or is of a mask of another size.
        """
        missing = any(s is None for s in segmentations)
        empty = cls.nothing(1, height, width).counts[0] if missing else ""
        texts = [empty if s is None else packed_counts(s, height, width) for s in segmentations]
        if any(isinstance(s, dict) for s in segmentations):
            return cls.checked(height, width, texts)
        return cls(height, width, tuple(texts))

    @classmethod
    def checked(cls, height: int, width: int, counts: Sequence[str]) -> PackedMasks:
        """From packed run lengths that others wrote.

        Raises:
            ValueError: they are no run lengths, or those of a mask of another size.
        """
        for runs in unpack(counts):
            if runs.min(initial=0) < 0 or runs.sum() != height * width:
                raise ValueError(
                    f"the runs cover {runs.sum()} pixels, the picture has {height * width}"
                    if runs.min(initial=0) >= 0
                    else f"a run has the length {runs.min()}"
                )
        return cls(height, width, tuple(counts))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, keep: Any) -> PackedMasks:
        rows = np.arange(len(self))[keep if isinstance(keep, slice) else np.asarray(as_array(keep))]
        return PackedMasks(self.height, self.width, tuple(self.counts[row] for row in rows))

    @classmethod
    def concatenate(cls, parts: Sequence[PackedMasks]) -> PackedMasks:
        """The masks of all, which are of pictures of one size."""
        counts = (text for part in parts for text in part.counts)
        return cls(parts[0].height, parts[0].width, tuple(counts))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the frames."""
        return len(self), self.height, self.width

    @property
    def rles(self) -> list[dict[str, Any]]:
        """As COCO writes them: ``{"size": [H, W], "counts": str}``."""
        return [{"size": [self.height, self.width], "counts": text} for text in self.counts]

    def moved(self, row: int, top: int, left: int) -> Crop:
        """The window of one mask in a picture of which this one is a part, at this place."""
        crop = next(self[[row]].crops())
        return crop._replace(top=crop.top + top, left=crop.left + left)

    @property
    def areas(self) -> NDArray[np.int64]:
        """The pixels that each mask covers, ``(N,)``."""
        if 0 in self.shape:
            return np.zeros(len(self), dtype=np.int64)
        return np.array([runs[1::2].sum() for runs in unpack(self.counts)], dtype=np.int64)

    def crops(self) -> Iterator[Crop]:
        """The smallest window around each mask."""
        return (_crop(runs, self.height) for runs in unpack(self.counts))

    def mirrored(self) -> PackedMasks:
        """Left for right."""
        mirrored = (
            Crop(top, self.width - left - inside.shape[1], inside[:, ::-1])
            for top, left, inside in self.crops()
        )
        return PackedMasks.of_crops(self.height, self.width, mirrored)

    def each_frame(self) -> Iterator[NDArray[np.bool_]]:
        """Each mask in its picture, ``(H, W)``."""
        for crop in self.crops():
            frame = np.zeros((self.height, self.width), dtype=bool)
            _place(crop, frame)
            yield frame

    def frames(self) -> Tensor:
        """bool ``(N, H, W)``."""
        return frames_of_crops(self.crops(), self.shape)


def frames_of_crops(crops: Iterable[Crop], shape: tuple[int, int, int]) -> Tensor:
    """bool ``(N, H, W)``: each mask in its picture."""
    frames = np.zeros(shape, dtype=bool)
    for crop, frame in zip(crops, frames, strict=True):
        _place(crop, frame)
    return as_tensor(frames)


def packed_counts(segmentation: Any, height: int, width: int) -> str:
    """The text of COCO's three ways to write a mask. Raises ValueError for what cannot be read."""
    counts = compressed(segmentation, height, width)["counts"]
    return counts if isinstance(counts, str) else counts.decode()


def _crop(runs: NDArray[np.int64], height: int) -> Crop:
    ends = np.cumsum(runs)
    starts, stops = ends[:-1:2], ends[1::2]
    some = stops > starts
    starts, stops = starts[some], stops[some]
    if not len(starts):
        return NOTHING
    first, last = starts // height, (stops - 1) // height
    left, right = int(first[0]), int(last[-1]) + 1
    top, bottom = 0, height
    if (first == last).all():  # else one goes on in the next column: all rows
        top, bottom = int((starts % height).min()), int(((stops - 1) % height).max()) + 1
    begin = (first - left) * (bottom - top) + starts % height - top
    columns = np.zeros((right - left) * (bottom - top), dtype=bool)
    for start, end in zip(begin.tolist(), (begin + stops - starts).tolist(), strict=True):
        columns[start:end] = True
    return Crop(top, left, columns.reshape(right - left, bottom - top).T)


def _place(crop: Crop, frame: NDArray[np.bool_]) -> None:
    top, left, part = crop
    frame[top : top + part.shape[0], left : left + part.shape[1]] = part
