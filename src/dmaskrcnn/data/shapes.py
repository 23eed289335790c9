"""Masks as they are annotated: polygons and run lengths, rasterised at the size that is asked for.

A polygon costs by its length and by the columns that it covers: at the size of training a tenth of
what it costs in the 8 megapixels of a 4K picture, and frames of that size are never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmaskrcnn.arrays import as_array
from dmaskrcnn.data.packed_masks import Crop, PackedMasks, frames_of_crops, packed_counts

if TYPE_CHECKING:
    from torch import Tensor

Window = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Shapes:
    """The masks of N objects in one picture.

    ``shapes[keep]`` takes a bool or int64 index tensor or array.

    Attributes:
        height, width: of the picture, px.
        each: polygons ``[[x, y, x, y, …], …]`` in px of the picture, or packed run lengths.
    """

    height: int
    width: int
    each: tuple[list[list[float]] | str, ...]

    @classmethod
    def of_segmentations(cls, height: int, width: int, segmentations: Sequence[Any]) -> Shapes:
        """As `PackedMasks.of_segmentations`, with its errors, but polygons stay such."""
        others = [index for index, s in enumerate(segmentations) if not isinstance(s, list)]
        each = list(segmentations)
        packed = PackedMasks.of_segmentations(height, width, [each[index] for index in others])
        for index, counts in zip(others, packed.counts, strict=True):
            each[index] = counts
        return cls(height, width, tuple(each))

    def __len__(self) -> int:
        return len(self.each)

    def __getitem__(self, keep: Any) -> Shapes:
        rows = np.arange(len(self))[np.asarray(as_array(keep))]
        return Shapes(self.height, self.width, tuple(self.each[row] for row in rows))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the frames."""
        return len(self), self.height, self.width

    def packed(self) -> PackedMasks:
        """At the size of the picture, to the bit as COCO's tools make them."""
        size = self.height, self.width
        each = (one if isinstance(one, str) else packed_counts(one, *size) for one in self.each)
        return PackedMasks(*size, tuple(each))

    def frames(self) -> Tensor:
        """bool ``(N, H, W)``."""
        return self.packed().frames()

    def resampled(self, window: Window, size: tuple[int, int], flip: bool = False) -> Tensor:
        """The masks in a window of the picture that is resized, then perhaps mirrored.

        Args:
            window: top, left, height and width, px of the picture.
            size: ``(height, width)`` of the result.
            flip: mirror left to right.

        Returns:
            bool ``(N, *size)``. A pixel belongs to a polygon if its centre does, to within a tenth
            of a pixel; to run lengths if the pixel of the picture does in which its centre lies.
        """
        crops = (
            self._picked(one, window, size) if isinstance(one, str) else _drawn(one, window, size)
            for one in self.each
        )
        if flip:
            crops = (
                Crop(top, size[1] - left - inside.shape[1], inside[:, ::-1])
                for top, left, inside in crops
            )
        return frames_of_crops(crops, (len(self), *size))

    def _picked(self, counts: str, window: Window, size: tuple[int, int]) -> Crop:
        """Of run lengths: the nearest pixels."""
        (crop,) = PackedMasks(self.height, self.width, (counts,)).crops()
        (first_row, rows), (first_column, columns) = (
            _within(start, length, count, low, extent)
            for start, length, count, low, extent in zip(
                window[:2], window[2:], size, crop[:2], crop.inside.shape, strict=True
            )
        )
        return Crop(first_row, first_column, crop.inside[rows][:, columns])


def nearest(start: int, length: int, count: int) -> np.ndarray:
    """Which pixels of a side are seen by those of another: int64 ``(count,)``.

    Args:
        start, length: of the window, px.
        count: pixels that it becomes.
    """
    return start + ((np.arange(count) + 0.5) * (length / count)).astype(np.int64).clip(
        max=length - 1
    )


def _within(start: int, length: int, count: int, low: int, extent: int) -> tuple[int, np.ndarray]:
    """The first pixel that sees one of ``low … low + extent - 1``, and what it and those after it
    see, counted from ``low``."""
    seen = nearest(start, length, count)
    first, end = np.searchsorted(seen, (low, low + extent)).tolist()
    return first, seen[first:end] - low


def _drawn(polygons: list[list[float]], window: Window, size: tuple[int, int]) -> Crop:
    top, left, height, width = window
    scale = np.array((size[1] / width, size[0] / height))
    moved = [
        ((np.asarray(one).reshape(-1, 2) - (left, top)) * scale).ravel().tolist()
        for one in polygons
    ]
    (crop,) = PackedMasks.of_segmentations(*size, [moved]).crops()
    return crop
