"""``dmaskrcnn inspect``: what a path holds and everything that is wrong with it, found by reading
and decoding all of it."""

from __future__ import annotations

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dmaskrcnn.data.formats import find_format
from dmaskrcnn.data.learnable import count_objects, nothing_to_learn
from dmaskrcnn.data.looks import (
    Look,
    deep_or_flat,
    duplicate_images,
    duplicate_objects,
    look_at,
    near_duplicates,
    turned_pictures,
    unlisted,
)
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.problems import Problem

SHOWN = 5  # problems of one kind, unless all are asked for


@dataclass
class Inspection:
    """What was found.

    Attributes:
        path: as given.
        format: as of `Part`.
        images: number of usable images.
        labelled: whether there are annotations.
        negatives: images without objects.
        classes: per class name the numbers of ``boxes``, ``images``, ``masks``, ``crowd``,
            ``difficult`` and those ``to learn``.
        heights: int64 ``(n,)``, px, of the pictures that could be read.
        widths: int64 ``(n,)``, px.
        problems: what is wrong, in the order found; ``train`` and ``evaluate`` stop at these.
        notes: what is worth knowing: duplicates, pictures without annotations.
        layout: as of `Part`: which split, where the names are from.
    """

    path: Path
    format: str
    images: int
    labelled: bool
    negatives: int
    classes: dict[str, dict[str, int]]
    heights: np.ndarray
    widths: np.ndarray
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    layout: str = ""

    def format_text(self, show_all: bool = False) -> str:
        """Lines for the terminal; at most five problems of a kind unless ``show_all``."""
        lines = [
            f"{self.path}",
            f"  {self.format}, {self.images} images, {self._labels()}",
        ]
        if self.layout:
            lines.append(f"  {self.layout}")
        if len(self.heights):
            for name, values in (("width", self.widths), ("height", self.heights)):
                low, middle, high = (
                    round(float(v)) for v in (values.min(), np.median(values), values.max())
                )
                lines.append(f"  {name:<6}  min {low:>5}  median {middle:>5}  max {high:>5} px")
        if self.labelled:
            lines += [f"  {self.negatives} images without objects", "", *_table(self.classes)]
        lines += [
            "",
            *_listing("problems", self.problems, show_all),
            *_listing("notes", self.notes, show_all),
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.format_text()

    def _labels(self) -> str:
        if not self.labelled:
            return "without labels"
        boxes, masks = (sum(of[key] for of in self.classes.values()) for key in ("boxes", "masks"))
        return f"labelled: {boxes} objects of {len(self.classes)} classes, {masks} with masks"


def inspect(path: str | os.PathLike[str], orientation: Orientation = "auto") -> Inspection:
    """Read a path of any format, decode every picture and mask, and list every problem without
    stopping at the first.

    Shows a progress bar on stderr if that is a terminal. ``orientation`` as of `open_dataset`.

    Raises:
        UserError: there is nothing to inspect: no such path, JSON that is not COCO, no image.
    """
    part = find_format(Path(path), orientation=orientation).read()
    problems, notes = list(part.problems), list(part.notes)
    sizes: list[tuple[int, int]] = []
    same_content: dict[bytes, list[Path]] = defaultdict(list)
    found: list[Look] = []
    # Pillow decodes outside the interpreter lock
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        looks = pool.map(lambda i: look_at(part, i, orientation), range(len(part.images)))
        for image, look in zip(
            part.images,
            tqdm(looks, "decoding", len(part.images), disable=None, unit="img"),
            strict=True,
        ):
            found.append(look)
            problems += look.problems
            if look.size is not None:
                sizes.append(look.size)
            if look.digest is not None:
                same_content[look.digest].append(image)
    notes += turned_pictures(part, found) + deep_or_flat(part, found)
    notes += duplicate_images(same_content.values())
    notes += near_duplicates(part, same_content.values())
    notes += unlisted(part)
    if part.objects is not None:
        notes += duplicate_objects(part, part.objects)
        notes += [
            Problem("nothing to learn", part.path, name, why)
            for name, why in nothing_to_learn(count_objects(part.classes, part.objects))
        ]
    height_width = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    return Inspection(
        part.path,
        part.format,
        len(part.images),
        part.objects is not None,
        0 if part.objects is None else int((np.diff(part.objects.first) == 0).sum()),
        {} if part.objects is None else count_objects(part.classes, part.objects),
        height_width[:, 0],
        height_width[:, 1],
        problems,
        notes,
        part.layout,
    )


def _table(classes: dict[str, dict[str, int]]) -> list[str]:
    columns = ("boxes", "images", "masks", "crowd", "difficult", "to learn")
    width = max([5, *map(len, classes)])
    total = {column: sum(counts[column] for counts in classes.values()) for column in columns}
    total["images"] = -1  # an image may hold several classes
    lines = [f"  {'class':<{width}}" + "".join(f"{column:>11}" for column in columns)]
    for name, counts in [*classes.items(), ("total", total)]:
        lines.append(
            f"  {name:<{width}}"
            + "".join(f"{'' if counts[c] < 0 else counts[c]:>11}" for c in columns)
        )
    return lines


def _listing(title: str, entries: list[Problem], show_all: bool) -> list[str]:
    if not entries:
        return [f"  {title}: none"]
    lines = [f"  {title}: {len(entries)}"]
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kind].append(entry)
    for kind, of_kind in kinds.items():
        lines.append(f"    {kind} ({len(of_kind)})")
        shown = of_kind if show_all else of_kind[:SHOWN]
        lines += [f"      {entry}" for entry in shown]
        if len(shown) < len(of_kind):
            lines.append(f"      … and {len(of_kind) - len(shown)} more (--all lists them)")
    return lines
