"""Four samples in the place of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from dmaskrcnn.data.masks_field import held_masks
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.sample import Annotations, Sample

CENTRE = (0.3, 0.7)  # shares of height and width between which the four parts meet


@dataclass(frozen=True)
class Layout:
    """A canvas in four parts: above left and right, below left and right.

    Attributes:
        height: px of the canvas.
        width: likewise.
        row: where the parts meet, px from above.
        column: px from the left.
    """

    height: int
    width: int
    row: int
    column: int

    @classmethod
    def draw(cls, height: int, width: int, generator: torch.Generator) -> Layout:
        """A canvas of this size whose parts meet somewhere in its middle."""
        low, high = CENTRE
        down, right = (low + (high - low) * torch.rand(2, generator=generator)).tolist()
        return cls(height, width, round(height * down), round(width * right))

    @property
    def rooms(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each part, px."""
        below, right = self.height - self.row, self.width - self.column
        return (
            (self.row, self.column),
            (self.row, right),
            (below, self.column),
            (below, right),
        )

    def corner(self, part: int, height: int, width: int) -> tuple[int, int]:
        """Where the upper left pixel of a picture lies that fills its part or is smaller: all four
        touch where the parts meet."""
        return (
            self.row - height if part < 2 else self.row,
            self.column - width if part % 2 == 0 else self.column,
        )


def compose(parts: Sequence[Sample], layout: Layout, colour: Tensor) -> Sample:
    """One sample of four, each no larger than its room.

    Args:
        parts: in the order of the rooms. Where one has no labels, the mosaic has none.
        layout: where they go.
        colour: uint8 ``(3, 1, 1)``, where no part reaches.
    """
    sizes = [part.image.shape[-2:] for part in parts]
    corners = [layout.corner(k, *size) for k, size in enumerate(sizes)]

    def canvas(images: Sequence[Tensor]) -> Tensor:
        whole = colour.expand(3, layout.height, layout.width).clone()
        for image, (top, left) in zip(images, corners, strict=True):
            whole[:, top : top + image.shape[-2], left : left + image.shape[-1]] = image
        return whole

    weak = [part.weak for part in parts if part.weak is not None]
    objects = [
        _moved(part.objects, corner, layout)
        for part, corner in zip(parts, corners, strict=True)
        if part.objects is not None
    ]
    return replace(
        parts[0],
        image=canvas([part.image for part in parts]),
        weak=canvas(weak) if len(weak) == len(parts) else None,
        objects=joined(objects) if len(objects) == len(parts) else None,
    )


def _moved(objects: Annotations, corner: tuple[int, int], layout: Layout) -> Annotations:
    top, left = corner
    height, width = objects.masks.shape[-2:]
    masks = no_masks(len(objects), layout.height, layout.width)
    if objects.has_mask.any():
        masks = masks.clone()
        masks[:, top : top + height, left : left + width] = objects.masks
    offset = torch.tensor([left, top, left, top], dtype=torch.float32)
    return replace(objects, boxes=objects.boxes + offset, masks=masks)


def joined(objects: Sequence[Annotations]) -> Annotations:
    """All objects as those of one picture, whose size they share; masks stay packed where none are
    frames."""
    if any(isinstance(held_masks(one), Tensor) for one in objects):
        masks = torch.cat([one.masks for one in objects])
    else:
        masks = PackedMasks.concatenate([one.packed for one in objects])
    names = [field.name for field in fields(Annotations) if field.name != "masks"]
    rest = {name: torch.cat([getattr(one, name) for one in objects]) for name in names}
    return Annotations(masks=masks, **rest)
