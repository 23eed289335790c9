"""What a data set yields: an image, and (for labelled ones) its objects."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmaskrcnn.arrays import as_tensor
from dmaskrcnn.data.masks_field import FramesOfMasks, frames_on_demand, held_masks, packed_masks
from dmaskrcnn.data.packed_masks import PackedMasks

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@frames_on_demand
@dataclass
class Annotations:
    """The N objects of one image (N may be 0: the image is a negative).

    Where PyTorch is not at hand (`dmaskrcnn.arrays`), the tensors are NumPy arrays.

    Attributes:
        boxes: float32 ``(N, 4)``, xyxy in pixels of the image.
        labels: int64 ``(N,)``, 0-based indices into the data set's ``classes``.
        masks: bool ``(N, H, W)``; all False where ``has_mask`` is False. May be given as
            `PackedMasks` or `Shapes`; frames are made of these where they are read, and kept.
        has_mask: bool ``(N,)``; False for objects annotated with a box only.
        crowd: bool ``(N,)``; COCO's ``iscrowd``: never a positive, never a false positive.
        difficult: bool ``(N,)``; Pascal VOC's flag: trained on, ignored in evaluation.
    """

    boxes: Tensor
    labels: Tensor
    masks: FramesOfMasks
    has_mask: Tensor
    crowd: Tensor
    difficult: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def packed(self) -> PackedMasks:
        """The masks as run lengths: what is scored and drawn."""
        return packed_masks(self)

    def to(self, device: torch.device) -> Annotations:
        """The same objects on another device."""
        return Annotations(*(getattr(self, f.name).to(device) for f in fields(self)))

    def __getitem__(self, keep: Tensor) -> Annotations:
        """The objects selected by a bool or int64 index tensor."""
        return Annotations(
            self.boxes[keep],
            self.labels[keep],
            held_masks(self)[keep],
            self.has_mask[keep],
            self.crowd[keep],
            self.difficult[keep],
        )

    @classmethod
    def empty(cls, height: int, width: int) -> Annotations:
        """No objects in an image of this size."""
        shapes = [
            ("float32", (0, 4)),
            ("int64", 0),
            ("bool", (0, height, width)),
            *[("bool", 0)] * 3,
        ]
        return cls(*(as_tensor(np.zeros(shape, kind)) for kind, shape in shapes))


@dataclass
class Sample:
    """One decoded image.

    Attributes:
        image: uint8 ``(3, H, W)``, RGB, EXIF rotation already applied.
        path: the file it came from.
        image_id: the id in its data set (COCO's id; otherwise the file's stem).
        objects: its annotations; None where it is used without labels (a target image).
        weak: the same picture, uint8 ``(3, H, W)``, before the augmentation of its colours, perhaps
            dehazed: what a teacher sees. None where no method asks for it.
        seed: of every random choice about this image in this iteration (augmentation, sampled
            RoIs), in whichever process.
        reduced: how many pixels of the file, to which the objects refer, lie along a side of one of
            ``image`` (see `decode_reduced`): 1 but for what training has just read.
    """

    image: Tensor
    path: Path
    image_id: int | str
    objects: Annotations | None = None
    seed: int = 0
    weak: Tensor | None = None
    reduced: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` that the objects refer to."""
        return self.image.shape[-2] * self.reduced, self.image.shape[-1] * self.reduced


@dataclass(frozen=True)
class Broken:
    """A picture that cannot be decoded.

    Attributes:
        domain: "source" or "target".
        place: its number among the images with which the training began.
        reason: file, reason and remedy in one line.
    """

    domain: str
    place: int
    reason: str


@dataclass
class Batch:
    """One training batch. Target samples carry objects only for ``oracle``, and where the user
    brings pseudo-labels."""

    source: list[Sample]
    target: list[Sample] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    """Pictures that should have been here but could not be decoded."""

    @property
    def names(self) -> list[str]:
        """The file names in the batch, source first: for messages."""
        return [str(s.path) for s in (*self.source, *self.target)]
