"""Collects what a reader finds in the labels of one path: pictures and their sizes, objects,
classes by name, and every problem."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.image import image_size
from dmaskrcnn.data.objects import ObjectTableBuilder
from dmaskrcnn.data.orientation import Orientation, boxes_frame
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.data.problems import Problem, check_box
from dmaskrcnn.data.segmentation import Box, EmptyMaskError, read_segmentation
from dmaskrcnn.errors import UserError


class PartBuilder:
    """Images are begun one after the other; objects are added to the last, or to one by its number.

    Attributes:
        images, sizes: as of `Part`.
        problems, notes: likewise; readers may add their own.

    Args:
        path: as the user named it.
        format: its name.
        orientation: in which frame the boxes of rotated pictures lie.
        classes: names in their order, where the format declares them; others follow as they come.
    """

    def __init__(
        self, path: Path, format: str, orientation: Orientation, classes: Iterable[str] = ()
    ) -> None:
        self.path, self.format = path, format
        self.orientation: Orientation = orientation
        self.images: list[Path] = []
        self.sizes: list[tuple[int, int]] = []
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._labels: dict[str, int] = {}
        self._objects = ObjectTableBuilder()
        for name in classes:
            self._label(name)

    def begin(
        self, image: Path, file: Path, field: str = "", stated: tuple[int, int] | None = None
    ) -> bool:
        """Begin an image; False, and a problem, where its picture cannot be read or is not of the
        ``stated`` size ``(height, width)``. ``file`` and ``field``: where its labels stand."""
        try:
            if stated is not None:
                displayed, stored = image_size(image)
                if stated not in (displayed, stored):
                    text = f"says {stated[1]}x{stated[0]}, but {image.name} is "
                    self.problem("size", file, field, f"{text}{displayed[1]}x{displayed[0]}")
                    return False
            size = boxes_frame(image, stated, self.orientation)
        except UserError as error:
            self.problem("unreadable", image, "", str(error).removeprefix(f"{image}: "))
            return False
        self.images.append(image)
        self.sizes.append(size)
        return True

    def add(
        self,
        file: Path,
        field: str,
        name: Any,
        box: Box | None,
        segmentation: Any = None,
        image: int = -1,
    ) -> None:
        """Add an object, or the problem with it.

        Args:
            file: that it stands in.
            field: where in the file.
            name: of its class, as it stands there.
            box: xyxy in pixels; None: that of its mask.
            segmentation: as COCO writes it; None: box only.
            image: number of its image; −1: the last.
        """
        if not isinstance(name, str) or not canonical(name):
            self.problem("category", file, field, f"has no class name: it is {name!r:.60}")
            return
        height, width = self.sizes[image]
        try:
            mask = read_segmentation(segmentation, height, width)
        except EmptyMaskError as error:
            if not error.tiny:
                self.problem("mask", file, field, f"{error}: correct it")
                return
            self.note("tiny mask", file, field, f"{error}: read as a box only")
            mask, box = None, around(segmentation)
        except ValueError as error:
            self.problem("mask", file, field, str(error))
            return
        if box is None:
            if mask is None:
                self.problem("mask", file, field, "is empty: correct it")
                return
            box = mask.bounds
        checked, reason = check_box(box, height, width)
        if checked is None:
            self.problem("box", file, field, str(reason))
            return
        kept = None if mask is None else mask.segmentation
        self._objects.add(image % len(self.images), checked, self._label(name), kept)

    def problem(self, kind: str, file: Path, field: str, text: str) -> None:
        """Something that is wrong."""
        self.problems.append(Problem(kind, file, field, text))

    def note(self, kind: str, file: Path, field: str, text: str) -> None:
        """Something that is worth knowing."""
        self.notes.append(Problem(kind, file, field, text))

    def build(self, ids: list[int | str], order: bool = False, layout: str = "") -> Part:
        """The part; ``ids`` one per image, ``order``: classes by name, so that they do not hang on
        which image comes first.

        Raises:
            UserError: no image is usable.
        """
        if not self.images:
            if not self.problems:
                raise UserError(f"{self.path}: {self.format}, but it lists no image; nothing to do")
            raise UserError(f"{self.problems[0]}; correct it (no image of {self.path} is usable)")
        names = tuple(self._labels)
        classes = tuple(sorted(names)) if order else names
        table = self._objects.build(len(self.images))
        table = table.relabel(np.array([classes.index(n) for n in names], dtype=np.int64))
        return Part(
            self.path,
            self.format,
            self.images,
            ids,
            self.sizes,
            classes,
            None,
            table,
            self.problems,
            self.notes,
            layout,
        )

    def _label(self, name: str) -> int:
        return self._labels.setdefault(canonical(name), len(self._labels))


def around(polygons: list[list[float]]) -> Box:
    """The box, xyxy, around polygons ``x, y, x, y, …``."""
    points = [value for polygon in polygons for value in polygon]
    return min(points[0::2]), min(points[1::2]), max(points[0::2]), max(points[1::2])
