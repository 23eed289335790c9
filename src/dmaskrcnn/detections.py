"""The one currency for results: what a detector found in one image."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dmaskrcnn.data.rle import encode
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from dmaskrcnn.draw import ImageLike


# == on tensors has no single truth value; masks make no readable repr
@dataclass(eq=False, repr=False)
class Detections:
    """The N objects found in one image, by falling score. N may be 0.

    ``len(d)`` is N; ``d[keep]`` takes a bool or int64 index tensor, a slice or an int (an int gives
    one object, still a ``Detections``), so iterating yields the objects one by one.

    Attributes:
        boxes: float32 ``(N, 4)``, xyxy in pixels of the image; x in [0, W], y in [0, H].
        labels: int64 ``(N,)``, 0-based indices into ``classes``.
        scores: float32 ``(N,)`` in [0, 1].
        masks: bool ``(N, H, W)``; all False from a model without a trained mask head.
        classes: the class names.

    Raises:
        ValueError: if a shape, a dtype or a label contradicts the above.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor
    classes: tuple[str, ...]
    image: Any = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        expected = {
            "boxes": (torch.float32, (n, 4)),
            "labels": (torch.int64, (n,)),
            "scores": (torch.float32, (n,)),
            "masks": (torch.bool, (n, *self.masks.shape[1:])),
        }
        for name, (dtype, shape) in expected.items():
            value: Tensor = getattr(self, name)
            if tuple(value.shape) != shape or value.dtype != dtype:
                given = f"{value.dtype} {tuple(value.shape)}"
                raise ValueError(f"{name}: expected {dtype} {shape}, got {given}")
        if self.masks.ndim != 3:
            raise ValueError(f"masks: expected (N, H, W), got {tuple(self.masks.shape)}")
        self.classes = tuple(self.classes)
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            given = sorted(set(self.labels.tolist()))
            wanted = f"indices into the {len(self.classes)} classes"
            raise ValueError(f"labels: expected {wanted}, got {given}")

    @classmethod
    def empty(cls, height: int, width: int, classes: tuple[str, ...]) -> Detections:
        """Nothing found in an image of ``height`` × ``width`` pixels."""
        labels = torch.zeros(0, dtype=torch.int64)
        masks = torch.zeros(0, height, width, dtype=torch.bool)
        return cls(torch.zeros(0, 4), labels, torch.zeros(0), masks, classes)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, keep: Tensor | slice | int) -> Detections:
        if isinstance(keep, int):
            if not -len(self) <= keep < len(self):  # IndexError also ends `for one in detections`
                raise IndexError(f"object {keep} of {len(self)}")
            keep = slice(keep, keep + 1 or None)
        boxes, labels, scores, masks = (value[keep] for value in self._tensors)
        return Detections(boxes, labels, scores, masks, self.classes)

    def __repr__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common())
        where = f"{len(self)} in {self.width}×{self.height}"
        return f"Detections({where}{': ' if found else ''}{found})"

    @property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.boxes, self.labels, self.scores, self.masks

    @property
    def height(self) -> int:
        """The height of the image, in pixels."""
        return self.masks.shape[1]

    @property
    def width(self) -> int:
        """The width of the image, in pixels."""
        return self.masks.shape[2]

    @property
    def names(self) -> list[str]:
        """The class name of each object."""
        return [self.classes[label] for label in self.labels.tolist()]

    def above(self, threshold: float) -> Detections:
        """The objects with a score of at least ``threshold``."""
        return self[self.scores >= threshold]

    def to(self, device: torch.device | str) -> Detections:
        """The same detections with all tensors on ``device``."""
        boxes, labels, scores, masks = (value.to(device) for value in self._tensors)
        return Detections(boxes, labels, scores, masks, self.classes)

    def draw(self, image: ImageLike) -> Image.Image:
        """A picture of ``image`` with masks, boxes, names and scores.

        Args:
            image: a picture, an array or a tensor: see ``draw.as_picture``; of the size of the
                masks.

        Returns:
            An RGB picture of the same size; the input is left as it is.

        Raises:
            ValueError: if the masks are not of the image's size.
        """
        # here: evaluation and training need no drawing library
        from dmaskrcnn.draw import draw_objects

        of_each = zip(self.names, self.scores.tolist(), strict=True)
        captions = [(f"{name} {score:.2f}", name) for name, score in of_each]
        return draw_objects(image, self.boxes, self.labels, self.masks, captions)

    def to_coco(self, image_id: int | str, category_ids: Mapping[str, int]) -> list[dict[str, Any]]:
        """The detections in COCO's results format.

        Args:
            image_id: the image's id in the data set.
            category_ids: the data set's category id of each class name.

        Returns:
            One dict per object: ``image_id``, ``category_id``, ``bbox`` (xywh, pixels), ``score``,
            and ``segmentation``, a compressed RLE ``{"size": [H, W], "counts": str}``.

        Raises:
            UserError: if a detected class has no category id.
        """
        if missing := sorted(set(self.names) - set(category_ids)):
            reason = f"no id for the class {', '.join(missing)} (known: {', '.join(category_ids)})"
            raise UserError(f"category_ids: {reason}; select the classes both share")
        boxes = self.boxes.detach().cpu().double()  # x + width is then x2 to the last bit
        xywh = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()
        keys = ("image_id", "category_id", "bbox", "score", "segmentation")
        of_each = zip(self.names, xywh, self.scores.tolist(), self._rle(), strict=True)
        return [
            dict(zip(keys, (image_id, category_ids[name], *others), strict=True))
            for name, *others in of_each
        ]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-friendly form that explains itself.

        Returns:
            ``{"width", "height", "detections": [{"class", "score", "box", "mask"}]}``: the box is
            xyxy in pixels (to a thousandth), the score is rounded to 6 digits, the mask is a
            compressed COCO RLE.
        """
        boxes = [[round(value, 3) for value in box] for box in self.boxes.tolist()]
        of_each = zip(self.names, self.scores.tolist(), boxes, self._rle(), strict=True)
        found = [
            {"class": name, "score": round(score, 6), "box": box, "mask": mask}
            for name, score, box, mask in of_each
        ]
        return {"width": self.width, "height": self.height, "detections": found}

    def to_supervision(self) -> Any:
        """The same objects as a ``supervision.Detections``, class names under
        ``data["class_name"]``.

        Raises:
            UserError: if the optional package ``supervision`` is not installed.
        """
        try:
            supervision = importlib.import_module("supervision")
        except ModuleNotFoundError as error:
            needed = "needs the package supervision: pip install supervision"
            raise UserError(f"to_supervision() {needed}") from error
        on_cpu = self.to("cpu")
        return supervision.Detections(
            xyxy=on_cpu.boxes.detach().numpy(),
            mask=on_cpu.masks.numpy(),
            confidence=on_cpu.scores.detach().numpy(),
            class_id=on_cpu.labels.numpy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def _rle(self) -> list[dict[str, Any]]:
        """Each mask as COCO's compressed run lengths, ``{"size": [H, W], "counts": str}``."""
        # one at a time: a copy of all masks in column order may be gigabytes
        return [encode(mask) for mask in self.masks.cpu().numpy()]
