"""The field ``masks`` of a dataclass: frames, run lengths or shapes, whatever is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.shapes import Shapes

if TYPE_CHECKING:
    from torch import Tensor

Held: TypeAlias = "Tensor | PackedMasks | Shapes"
T = TypeVar("T")


class FramesOfMasks:
    """A dataclass' field ``masks``: given in any of these forms; read as frames, bool ``(N, H,
    W)``, which are kept from then on, since they may be written to."""

    def __get__(self, owner: Any, kind: type) -> Tensor:
        if owner is None:
            raise AttributeError("masks")  # a field of each object, with no default
        held = held_masks(owner)
        if isinstance(held, (PackedMasks, Shapes)):
            frames = held.frames()
            held = frames if isinstance(frames, np.ndarray) else frames.to(owner.boxes.device)
            owner.__dict__["masks"] = held
        return held

    def __set__(self, owner: Any, masks: Held) -> None:
        owner.__dict__["masks"] = masks


def frames_on_demand(kind: type[T]) -> type[T]:
    """Decorates a dataclass whose field ``masks`` is `FramesOfMasks`."""
    kind.masks = FramesOfMasks()  # pyright: ignore[reportAttributeAccessIssue]
    return kind


def held_masks(owner: Any) -> Held:
    """What the field ``masks`` holds, as it is."""
    return owner.__dict__["masks"]


def packed_masks(owner: Any) -> PackedMasks:
    """The field ``masks``, packed."""
    held = held_masks(owner)
    if isinstance(held, Shapes):  # rasterised once
        held = owner.__dict__["masks"] = held.packed()
    return held if isinstance(held, PackedMasks) else PackedMasks.of_frames(held)
