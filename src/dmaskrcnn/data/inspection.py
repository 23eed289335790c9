"""``dmaskrcnn inspect``: what a path holds and everything that is wrong with it, found by reading
and decoding all of it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.formats import find_format
from dmaskrcnn.data.image import decode_image, list_images
from dmaskrcnn.data.objects import ObjectTable
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import MOST_DATA, read_bytes

SHOWN = 5  # problems of one kind, unless all are asked for


@dataclass
class Inspection:
    """What was found.

    Attributes:
        path: as given.
        format: ``"COCO JSON"``, ``"Pascal VOC"``, ``"image folder"`` or ``"single image"``.
        images: number of usable images.
        labelled: whether there are annotations.
        negatives: images without objects.
        classes: per class name the numbers of ``boxes``, ``images``, ``masks``, ``crowd`` and
            ``difficult``.
        heights: int64 ``(n,)``, px, of the pictures that could be read.
        widths: int64 ``(n,)``, px.
        problems: what is wrong, in the order found; ``train`` and ``evaluate`` stop at these.
        notes: what is worth knowing: duplicates, pictures without annotations.
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

    def format_text(self, show_all: bool = False) -> str:
        """Lines for the terminal; at most five problems of a kind unless ``show_all``."""
        lines = [
            f"{self.path}",
            f"  {self.format}, {self.images} images, "
            f"{'labelled' if self.labelled else 'without labels'}",
        ]
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


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Read a path of any format, decode every picture and mask, and list every problem without
    stopping at the first.

    Shows a progress bar on stderr if that is a terminal.

    Raises:
        UserError: there is nothing to inspect: no such path, JSON that is not COCO, no image.
    """
    part = find_format(Path(path)).read()
    problems, notes = list(part.problems), list(part.notes)
    sizes: list[tuple[int, int]] = []
    same_content: dict[bytes, list[Path]] = defaultdict(list)
    # Pillow decodes outside the interpreter lock
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        looks = pool.map(lambda i: _look(part, i), range(len(part.images)))
        for image, look in zip(
            part.images,
            tqdm(looks, "decoding", len(part.images), disable=None, unit="img"),
            strict=True,
        ):
            problems += look.problems
            if look.size is not None:
                sizes.append(look.size)
            if look.digest is not None:
                same_content[look.digest].append(image)
    notes += _duplicate_images(same_content.values())
    notes += _unlisted(part)
    if part.objects is not None:
        notes += _duplicate_objects(part, part.objects)
    height_width = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    return Inspection(
        part.path,
        part.format,
        len(part.images),
        part.objects is not None,
        0 if part.objects is None else int((np.diff(part.objects.first) == 0).sum()),
        {} if part.objects is None else _count(part.classes, part.objects),
        height_width[:, 0],
        height_width[:, 1],
        problems,
        notes,
    )


@dataclass
class _Look:
    digest: bytes | None
    size: tuple[int, int] | None
    problems: list[Problem]


def _look(part: Part, index: int) -> _Look:
    """Decode one picture and its masks."""
    path, stated = part.images[index], part.sizes[index] if part.sizes else None
    problems: list[Problem] = []
    digest = size = None
    try:
        digest = hashlib.blake2b(read_bytes(path, MOST_DATA), digest_size=16).digest()
        height, width = decode_image(path, stated).shape[1:]
        size = (height, width)
    except UserError as error:
        problems.append(Problem("unreadable", path, "", str(error).removeprefix(f"{path}: ")))
    except OSError as error:
        problems.append(Problem("unreadable", path, "", f"cannot read the file ({error.strerror})"))
    if part.objects is not None and stated is not None:
        try:
            part.objects.annotations(index, *stated)
        except ValueError as error:
            problems.append(
                Problem(
                    "mask", part.path, f"image {path.name}", f"a mask cannot be decoded ({error})"
                )
            )
    return _Look(digest, size, problems)


def _count(classes: tuple[str, ...], objects: ObjectTable) -> dict[str, dict[str, int]]:
    owner = np.repeat(np.arange(len(objects)), np.diff(objects.first))
    counts = {}
    for label, name in enumerate(classes):
        of_class = objects.labels == label
        counts[name] = {
            "boxes": int(of_class.sum()),
            "images": len(np.unique(owner[of_class])),
            "masks": int(objects.has_mask[of_class].sum()),
            "crowd": int(objects.crowd[of_class].sum()),
            "difficult": int(objects.difficult[of_class].sum()),
        }
    return counts


def _duplicate_images(groups: Iterable[list[Path]]) -> list[Problem]:
    return [
        Problem("duplicate image", path, "", f"has the same content as {group[0]}")
        for group in groups
        for path in group[1:]
    ]


def _duplicate_objects(part: Part, objects: ObjectTable) -> list[Problem]:
    notes = []
    for i, path in enumerate(part.images):
        rows = range(int(objects.first[i]), int(objects.first[i + 1]))
        seen = Counter((int(objects.labels[row]), *objects.boxes[row].tolist()) for row in rows)
        for (label, *box), times in seen.items():
            if times > 1:
                shown = ", ".join(f"{v:g}" for v in box)
                text = f"the same {part.classes[int(label)]} box [{shown}] {times} times"
                notes.append(Problem("duplicate object", path, "", text))
    return notes


def _unlisted(part: Part) -> list[Problem]:
    """Pictures beside those of a COCO JSON that it does not list; one note per folder, as other
    splits often live there."""
    if part.format != "COCO JSON":
        return []
    listed = set(map(os.path.realpath, part.images))
    notes = []
    for folder in sorted({path.parent for path in part.images}):
        count = sum(
            os.path.realpath(path) not in listed for path in list_images(folder, recursive=False)
        )
        if count:
            notes.append(
                Problem(
                    "not annotated",
                    folder,
                    "",
                    f"{count} pictures here are not listed (another split's?)",
                )
            )
    return notes


def _table(classes: dict[str, dict[str, int]]) -> list[str]:
    columns = ("boxes", "images", "masks", "crowd", "difficult")
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


def same_images(a: Dataset, b: Dataset, sample: int = 64) -> list[tuple[str, str]]:
    """Pairs of files that two data sets share: for the warning when source and target are the same
    images.

    Compares all resolved paths, and the contents of about ``sample`` evenly spaced files of ``b``
    with the files of ``a`` that have the same number of bytes.

    Returns:
        ``(path in a, path in b)`` per shared file found.
    """
    resolved = {os.path.realpath(path): str(path) for path in a.paths}
    shared = {
        str(path): resolved[real]
        for path in b.paths
        if (real := os.path.realpath(path)) in resolved
    }
    by_bytes: dict[int, list[str]] = {}
    for path in a.paths:
        by_bytes.setdefault(os.stat(path).st_size, []).append(str(path))
    for path in b.paths[:: max(1, len(b) // sample)]:
        for other in by_bytes.get(os.stat(path).st_size, []):
            if str(path) not in shared and path.read_bytes() == Path(other).read_bytes():
                shared[str(path)] = other
    return [(other, path) for path, other in shared.items()]
