"""What a reader makes of one path: images, and (for labelled ones) classes and objects."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dmaskrcnn.data.objects import ObjectTable
from dmaskrcnn.data.problems import Problem


@dataclass
class Part:
    """The n images of one path.

    Attributes:
        path: as the user named it.
        format: ``"COCO JSON"``, ``"Pascal VOC"``, ``"YOLO"``, ``"CVAT XML"``, ``"labelme"``,
            ``"image folder"`` or ``"single image"``.
        images: their files.
        image_ids: COCO's id, otherwise the file's stem (its relative path where stems repeat).
        sizes: ``(height, width)`` per image as its annotations state them; empty if unlabelled.
        classes: canonical names; empty if unlabelled.
        category_ids: COCO's id per class, otherwise None.
        objects: the annotations; None if unlabelled.
        problems: what is wrong; the objects and images concerned are already left out.
        notes: what is worth knowing but harmless.
        layout: how the files lie, and which split they are, in words; may be empty.
    """

    path: Path
    format: str
    images: list[Path]
    image_ids: list[int | str]
    sizes: list[tuple[int, int]] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    category_ids: tuple[int, ...] | None = None
    objects: ObjectTable | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    layout: str = ""


def stem_ids(images: list[Path], folder: Path) -> list[int | str]:
    """An id per image: the file's stem, or all relative paths without suffix where two stems are
    the same: from the folder, in which an image need not lie."""
    stems: list[int | str] = [path.stem for path in images]
    if len(set(stems)) == len(stems):
        return stems
    names = (
        path.relative_to(folder)
        if path.is_relative_to(folder)
        else Path(os.path.relpath(path, folder))
        for path in images
    )
    return [name.as_posix() for name in names]
