"""YOLO labels: a text file per picture with a line per object, ``class x y width height`` (a box)
or ``class x y x y x y …`` (a polygon), in shares of the picture's size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.part_builder import PartBuilder, around
from dmaskrcnn.data.segmentation import Box
from dmaskrcnn.data.values import number, shown
from dmaskrcnn.data.yolo_layout import YoloSet, is_label, label_folders
from dmaskrcnn.files import read_bytes

# a share above this is no rounding: these are pixels
_PIXELS = 1.5
# Sides and diagonals of oriented boxes agree to the rounding of six digits
_RIGHT = 0.02


@dataclass
class _Line:
    """One object: where it stands, its class, and a box (four shares) or a polygon."""

    file: Path
    field: str
    name: str
    values: list[float]


def read_yolo(path: Path, found: YoloSet, orientation: Orientation = "auto") -> Part:
    """Read the pictures of a split. One without a label file, or with an empty one, is background.

    What is wrong is collected in ``problems`` and left out: lines of another length, numbers
    outside 0 … 1, classes without a name, label files without a picture. Shares are of the picture
    turned upright, unless ``orientation`` is ``"stored"``. Oriented boxes are read as the boxes
    around them; keypoints are left out.

    Raises:
        UserError: no picture is usable.
    """
    builder = PartBuilder(path, "YOLO", orientation, found.names.values())
    lines: list[list[_Line]] = []
    places: dict[Path, list[Path]] = {}
    taken: set[Path] = set()
    for image in found.images:
        if image.parent not in places:
            places[image.parent] = label_folders(image.parent)
        names = (place / f"{image.stem}.txt" for place in places[image.parent])
        file = next((name for name in names if name.is_file() and is_label(name)), None)
        if file is not None:
            taken.add(file)
        text = "" if file is None else _text(file, builder)
        if text is None or not builder.begin(image, file or image):
            continue
        lines.append([] if file is None else _lines(file, text, found, builder))
    _add(lines, builder)
    if found.whole:
        _without_picture(places, taken, builder)
    ids = stem_ids(builder.images, found.folder) if builder.images else []
    return builder.build(ids, layout=_layout(found, lines))


def _text(file: Path, builder: PartBuilder) -> str | None:
    """The text of a label file; None, and a problem, where it cannot be read."""
    try:
        return read_bytes(file).decode("utf-8-sig")
    except OSError as error:
        builder.problem("unreadable", file, "", f"cannot read the file ({error.strerror})")
    except UnicodeDecodeError:
        builder.problem("unreadable", file, "", "is no UTF-8 text")
    return None


def _lines(file: Path, text: str, found: YoloSet, builder: PartBuilder) -> list[_Line]:
    kept = []
    for index, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        field = f"line {index}"
        values = [number(word) for word in words]
        bad = next(
            (w for w, v in zip(words, values, strict=True) if v is None or not _finite(v)), None
        )
        if bad is not None:
            builder.problem("label line", file, field, f"{shown(bad)} is no number")
            continue
        label, *shares = (value for value in values if value is not None)
        reason = _wrong_class(label, words[0], found) or _wrong_shares(shares, found)
        if reason:
            kind = "category" if "class" in reason else "label line"
            builder.problem(kind, file, field, reason)
            continue
        if found.keypoints and len(shares) == 4 + found.keypoints:
            shares = shares[:4]
        kept.append(_Line(file, field, found.names[int(label)], shares))
    return kept


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _wrong_class(label: float, word: str, found: YoloSet) -> str:
    if label < 0 or label != int(label):
        return f"begins with {shown(word)}, not the number of a class"
    if int(label) not in found.names:
        last = max(found.names)
        return f"has the class {word}, but {found.named_in.name} names 0 to {last}"
    return ""


def _wrong_shares(shares: list[float], found: YoloSet) -> str:
    """What is wrong with the numbers after the class; empty where nothing is."""
    count = len(shares)
    if found.keypoints and count == 4 + found.keypoints:
        shares = shares[:4]
    elif count == 5:
        return "has six numbers: detections with a score, not labels"
    elif count != 4 and (count < 6 or count % 2):
        pose = "; keypoints need kpt_shape in data.yaml" if count > 6 else ""
        return (
            f"has {count + 1} numbers: neither a box (class x y width height) nor a polygon (class "
            f"and at least three points){pose}"
        )
    far = next((value for value in shares if value < 1 - _PIXELS or value > _PIXELS), None)
    if far is not None:
        hint = "; are these pixels?" if far > 1 else ""
        return f"has {far:g}, which is no share of the picture (0 to 1){hint}"
    return ""


def _add(lines: list[list[_Line]], builder: PartBuilder) -> None:
    """Shares become pixels, and objects."""
    every = [line for of_image in lines for line in of_image]
    oriented = _oriented(lines, builder.sizes)
    for image, (of_image, size) in enumerate(zip(lines, builder.sizes, strict=True)):
        for line in of_image:
            if len(line.values) == 4:
                box, mask = _box(line.values, *size), None
            else:
                points = _pixels(line.values, *size)
                box, mask = (around([points]), None) if oriented else (None, [points])
            builder.add(line.file, line.field, line.name, box, mask, image=image)
    if oriented:
        text = f"all {len(every)} objects are turned rectangles: read as the boxes around them"
        builder.note("oriented boxes", builder.path, "", text)


def _pixels(shares: list[float], height: int, width: int) -> list[float]:
    return [share * (height if i % 2 else width) for i, share in enumerate(shares)]


def _box(shares: list[float], height: int, width: int) -> Box:
    x, y, w, h = shares
    return (
        (x - w / 2) * width,
        (y - h / 2) * height,
        (x + w / 2) * width,
        (y + h / 2) * height,
    )


def _oriented(lines: list[list[_Line]], sizes: list[tuple[int, int]]) -> bool:
    """Whether these are oriented boxes, which look like polygons of four points: all are
    rectangles, and one at least is turned."""
    turned = False
    for of_image, (height, width) in zip(lines, sizes, strict=True):
        for line in of_image:
            if len(line.values) != 8:
                return False
            p = _pixels(line.values, height, width)
            a, b, c, d = ((p[i], p[i + 1]) for i in range(0, 8, 2))
            one, other = math.dist(a, c), math.dist(b, d)
            middle = math.dist(
                ((a[0] + c[0]) / 2, (a[1] + c[1]) / 2), ((b[0] + d[0]) / 2, (b[1] + d[1]) / 2)
            )
            near = _RIGHT * max(one, other) + 0.5
            if abs(one - other) > near or middle > near:
                return False
            turned |= min(abs(a[0] - b[0]), abs(a[1] - b[1])) > near
    return turned


def _without_picture(
    places: dict[Path, list[Path]], taken: set[Path], builder: PartBuilder
) -> None:
    folders = {place for of in places.values() for place in of if "labels" in place.parts}
    for folder in sorted(folders):
        for file in sorted(folder.glob("*.txt")):
            if is_label(file) and file not in taken:
                builder.problem("missing image", file, "", "labels a picture that is not there")


def _layout(found: YoloSet, lines: list[list[_Line]]) -> str:
    every = [line for of_image in lines for line in of_image]
    boxes = sum(len(line.values) == 4 for line in every)
    split = f"split {found.split} of {', '.join(found.splits)}; " if found.split else ""
    return f"{split}names from {found.named_in.name}; {boxes} boxes, {len(every) - boxes} polygons"
