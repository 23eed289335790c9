"""The one currency for results: what a detector found in one image."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmaskrcnn.arrays import as_array, as_tensor, dtype_name
from dmaskrcnn.data.coco_results import Arrays, coco_arrays
from dmaskrcnn.data.masks_field import FramesOfMasks, frames_on_demand, held_masks, packed_masks
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.shapes import Shapes
from dmaskrcnn.data.supervision_arrays import supervision_arrays
from dmaskrcnn.data.yolo_lines import yolo_boxes, yolo_polygons
from dmaskrcnn.errors import UserError
from dmaskrcnn.shown import Shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor


# == on tensors has no single truth value; masks make no readable repr
@frames_on_demand
@dataclass(eq=False, repr=False)
class Detections(Shown):
    """The N objects found in one image, by falling score. N may be 0.

    ``len(d)`` is N; ``d[keep]`` takes a bool or int64 index tensor, a slice or an int (an int gives
    one object, still a ``Detections``), so iterating yields the objects one by one.

    Where PyTorch is not installed (`dmaskrcnn-runtime`), the tensors are NumPy arrays.

    Masks are kept packed (`packed`), in about 300 bytes each; `masks` makes frames of them, a byte
    a pixel and object, when it is read, and keeps these.

    Attributes:
        boxes: float32 ``(N, 4)``, xyxy in pixels of the image; x in [0, W], y in [0, H].
        labels: int64 ``(N,)``, 0-based indices into ``classes``.
        scores: float32 ``(N,)`` in [0, 1].
        masks: bool ``(N, H, W)``; all False from a model without a trained mask head. May be given
            as `PackedMasks`.
        classes: the class names.
        image: what they were found in, for `draw`, `save`, `show` and notebooks: its path, or the
            picture itself where it was predicted alone; None: not remembered.

    Raises:
        ValueError: if a shape, a dtype or a label contradicts the above.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: FramesOfMasks
    classes: tuple[str, ...]
    image: Any = None

    def __post_init__(self) -> None:
        n, masks = len(self.boxes), held_masks(self)
        expected = {
            "boxes": (self.boxes, "float32", (n, 4)),
            "labels": (self.labels, "int64", (n,)),
            "scores": (self.scores, "float32", (n,)),
            "masks": (masks, "bool", (n, *masks.shape[1:])),
        }
        for name, (value, dtype, shape) in expected.items():
            kind = "bool" if isinstance(value, PackedMasks) else dtype_name(value)
            if tuple(value.shape) != shape or kind != dtype:
                given = f"{kind} {tuple(value.shape)}"
                raise ValueError(f"{name}: expected {dtype} {shape}, got {given}")
        if len(masks.shape) != 3:
            raise ValueError(f"masks: expected (N, H, W), got {tuple(masks.shape)}")
        self.classes = tuple(self.classes)
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            given = sorted(set(self.labels.tolist()))
            wanted = f"indices into the {len(self.classes)} classes"
            raise ValueError(f"labels: expected {wanted}, got {given}")

    @classmethod
    def empty(cls, height: int, width: int, classes: tuple[str, ...]) -> Detections:
        """Nothing found in an image of ``height`` × ``width`` pixels."""
        shapes = {"float32": (0, 4), "int64": (0,)}
        boxes, labels = (as_tensor(np.zeros(s, kind)) for kind, s in shapes.items())
        return cls(boxes, labels, boxes[:, 0], PackedMasks(height, width, ()), classes)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, keep: Tensor | slice | int) -> Detections:
        if isinstance(keep, int):
            if not -len(self) <= keep < len(self):  # IndexError also ends `for one in detections`
                raise IndexError(f"object {keep} of {len(self)}")
            keep = slice(keep, keep + 1 or None)
        boxes, labels, scores = (value[keep] for value in self._tensors)
        masks = held_masks(self)[keep]
        return Detections(boxes, labels, scores, masks, self.classes, self.image)

    def __repr__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common())
        where = f"{len(self)} in {self.width}×{self.height}"
        return f"Detections({where}{': ' if found else ''}{found})"

    @property
    def packed(self) -> PackedMasks:
        """The masks as run lengths: what is scored, written and drawn."""
        return packed_masks(self)

    @property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.boxes, self.labels, self.scores

    def above(self, threshold: float) -> Detections:
        """The objects with a score of at least ``threshold``."""
        return self[self.scores >= threshold]

    def to(self, device: torch.device | str) -> Detections:
        """The same detections with all tensors on ``device``; arrays are on the CPU already."""
        if isinstance(self.boxes, np.ndarray):
            return self
        boxes, labels, scores = (value.to(device) for value in self._tensors)
        masks = held_masks(self)
        if not isinstance(masks, (PackedMasks, Shapes)):
            masks = masks.to(device)
        return Detections(boxes, labels, scores, masks, self.classes, self.image)

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
        boxes = as_array(self.boxes).astype(np.float64)  # x + width is then x2 to the last bit
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
        keys = ("image_id", "category_id", "bbox", "score", "segmentation")
        of_each = zip(self.names, xywh, self.scores.tolist(), self.packed.rles, strict=True)
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
        of_each = zip(self.names, self.scores.tolist(), boxes, self.packed.rles, strict=True)
        found = [
            {"class": name, "score": round(score, 6), "box": box, "mask": mask}
            for name, score, box, mask in of_each
        ]
        return {"width": self.width, "height": self.height, "detections": found}

    def to_json(self) -> str:
        """`to_dict` as the text of a JSON file."""
        return json.dumps(self.to_dict())

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, a row per object: ``class``, ``score``, ``x1``, ``y1``, ``x2``,
        ``y2`` (px) and ``mask_area`` (px).

        Raises:
            UserError: the optional package ``pandas`` is not installed.
        """
        pandas = _library("pandas", "to_pandas()")
        boxes = np.array(self.boxes.tolist(), dtype=np.float64).reshape(-1, 4)
        columns = {"class": self.names, "score": self.scores.tolist()}
        columns |= dict(zip(("x1", "y1", "x2", "y2"), boxes.T, strict=True))
        return pandas.DataFrame(columns | {"mask_area": self.packed.areas})

    def to_yolo(self, polygons: bool = False, scores: bool = False) -> str:
        """The text of a YOLO label file, a line per object, classes by their place in ``classes``.

        Args:
            polygons: outlines of the masks (of the box, where an object has none) instead of boxes.
            scores: put the score at the end of each line, as YOLO does with ``save_conf``.
        """
        labels, size = self.labels.tolist(), (self.height, self.width)
        boxes = np.array(self.boxes.tolist(), dtype=np.float64).reshape(-1, 4)
        lines = (
            yolo_polygons(labels, boxes, self.packed.each_frame(), *size)
            if polygons
            else yolo_boxes(labels, boxes, *size)
        )
        if scores:
            of_each = zip(lines, self.scores.tolist(), strict=True)
            lines = [f"{line} {score:.6f}" for line, score in of_each]
        return "".join(f"{line}\n" for line in lines)

    def to_supervision(self) -> Any:
        """The same objects as a ``supervision.Detections``, class names under
        ``data["class_name"]``.

        Raises:
            UserError: the optional package ``supervision`` is not installed.
        """
        supervision = _library("supervision", "to_supervision()")
        return supervision.Detections(
            xyxy=as_array(self.boxes),
            mask=as_array(self.masks),
            confidence=as_array(self.scores),
            class_id=as_array(self.labels),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    @classmethod
    def from_coco(
        cls,
        results: Sequence[Mapping[str, Any]],
        category_ids: Mapping[str, int],
        size: tuple[int, int] | None = None,
    ) -> Detections:
        """What `to_coco` gives, or COCO results of any other detector for one image.

        Args:
            results: dicts with ``category_id``, ``bbox``, ``score`` and perhaps ``segmentation``.
            category_ids: the category id of each class name; the names become ``classes``.
            size: ``(height, width)`` of the image, needed where no result has run lengths.

        Raises:
            UserError: a field is missing or wrong, results of several images, or no known size.
        """
        return cls._of_arrays(coco_arrays(results, category_ids, size), tuple(category_ids))

    @classmethod
    def from_supervision(
        cls,
        found: Any,
        classes: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Detections:
        """What `to_supervision` gives, or a ``supervision.Detections`` of any other detector.

        Args:
            found: its boxes, class ids, scores (1 where it has none) and masks.
            classes: the class names that its class ids index. None: its ``data["class_name"]``, in
                the order of their ids.
            size: ``(height, width)`` of the image, needed where it has no masks.

        Raises:
            UserError: no names, ids that no name belongs to, or no known size.
        """
        arrays, names = supervision_arrays(found, classes, size)
        return cls._of_arrays(arrays, names)

    @classmethod
    def _of_arrays(cls, arrays: Arrays, classes: tuple[str, ...]) -> Detections:
        *others, masks = arrays
        boxes, labels, scores = map(as_tensor, others)
        return cls(boxes, labels, scores, masks, classes)


def _library(name: str, who: str) -> Any:
    """An optional package. Raises UserError where it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"{who} needs the package {name}: pip install {name}") from error
