"""labelme: a JSON beside each picture with polygons, rectangles and circles."""

from __future__ import annotations

import math
import re
from itertools import islice
from pathlib import Path
from typing import Any

from dmaskrcnn.data.image import list_images
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.part_builder import PartBuilder, around
from dmaskrcnn.data.problems import NOT_READ
from dmaskrcnn.data.segmentation import Box
from dmaskrcnn.data.values import number, numbers, shown
from dmaskrcnn.errors import first_line
from dmaskrcnn.files import check_regular, read_json

_LOOKED_AT = 20
_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_TOLERANCE = 0.25  # px that the sides of a circle may lie inside it


def looks_like_labelme(folder: Path) -> bool:
    """Whether one of the first JSON files of a folder begins as labelme's: cheap, however much
    picture data follows."""
    for file in islice(
        (f for f in folder.glob("*.json") if not f.name.startswith(".")), _LOOKED_AT
    ):
        try:
            check_regular(file)
            with file.open("rb") as opened:
                if _SHAPES.search(opened.read(1 << 16)):
                    return True
        except OSError:
            continue
    return False


def read_labelme(path: Path, orientation: Orientation = "auto") -> Part:
    """Read the pictures that have a JSON; its ``imageData`` is passed over.

    Rectangles are boxes without masks. Shapes of one label and one ``group_id`` are parts of one
    object, as labelme has it. Lines and points are noted and left out. Problems are collected.

    Raises:
        UserError: no picture is usable.
    """
    builder = PartBuilder(path, "labelme", orientation)
    read: set[Path] = set()
    skipped: dict[str, int] = {}
    for file in sorted(path.glob("*.json")):
        if file.name.startswith("."):
            continue
        try:
            data = read_json(file)
        except OSError as error:
            builder.problem("unreadable", file, "", f"cannot read the file ({error.strerror})")
            continue
        except ValueError as error:
            builder.problem("unreadable", file, "", f"not valid JSON ({first_line(error)})")
            continue
        if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
            builder.note("not labelme", file, "", "has no list 'shapes': left out")
            continue
        if (image := _begin(file, data, builder)) is not None:
            read.add(image)
            _shapes(file, data["shapes"], builder, skipped)
    for kind, count in skipped.items():
        builder.note(NOT_READ, path, kind, f"{count} of these: neither polygon, box nor circle")
    for image in list_images(path, recursive=False):
        if image not in read and not image.with_suffix(".json").exists():
            builder.note("not annotated", image, "", f"no {image.stem}.json beside it: left out")
    return builder.build(stem_ids(builder.images, path) if builder.images else [], order=True)


def _begin(file: Path, data: dict[str, Any], builder: PartBuilder) -> Path | None:
    """Begin the picture of a JSON; None where that cannot be."""
    name = data.get("imagePath")
    if not isinstance(name, str):
        text = f"is {shown(name)}, not the name of a picture"
        builder.problem("image entry", file, "imagePath", text)
        return None
    image = file.parent / name.replace("\\", "/")
    try:
        there = image.is_file()
    except (OSError, ValueError):  # no name that a file system takes
        there = False
    if not there:  # moved: beside the JSON, by its own name
        beside = (
            file.parent / image.name,
            *(file.with_suffix(s) for s in (".jpg", ".png", ".jpeg")),
        )
        found = next((other for other in beside if len(other.name) < 256 and other.is_file()), None)
        if found is None:
            builder.problem("missing image", file, "imagePath", f"no such picture: {shown(name)}")
            return None
        image = found
    sides = []
    for field in ("imageHeight", "imageWidth"):
        side = 0.0 if data.get(field) is None else number(data[field])
        if side is None or not 0 <= side < 1 << 24 or side != int(side):
            text = f"is {shown(data[field])}, not a number of pixels"
            builder.problem("size", file, field, text)
            return None
        sides.append(int(side))
    stated = (sides[0], sides[1]) if all(sides) else None
    return image if builder.begin(image, file, "imageHeight, imageWidth", stated) else None


def _shapes(file: Path, shapes: list[Any], builder: PartBuilder, skipped: dict[str, int]) -> None:
    """Add the objects of the image begun last."""
    groups: dict[Any, tuple[str, Any, Box | None, list[list[float]]]] = {}
    for index, shape in enumerate(shapes):
        where = f"shapes[{index}]"
        if not isinstance(shape, dict):
            builder.problem("annotation", file, where, f"is {shown(shape)}, not an object")
            continue
        label, group = shape.get("label"), shape.get("group_id")
        kind = str(shape.get("shape_type", "polygon"))[:40]
        if kind not in ("polygon", "rectangle", "circle"):
            skipped[kind] = skipped.get(kind, 0) + 1
            continue
        try:
            points = _points(shape.get("points"), kind)
        except ValueError as error:
            builder.problem("points", file, f"{where}.points", str(error))
            continue
        if kind == "rectangle":
            groups[index] = (where, label, around([points]), [])
            continue
        polygon = _circle(points[:2], points[2:]) if kind == "circle" else points
        # a number of its own is a group; without one, each shape is an object
        key = (label, group) if isinstance(label, str) and type(group) is int else index
        groups.setdefault(key, (where, label, None, []))[3].append(polygon)
    for where, label, box, polygons in groups.values():
        builder.add(file, where, label, box, polygons)


def _points(value: Any, kind: str) -> list[float]:
    """``x, y, x, y, …`` of a shape. Raises ValueError where they cannot be those of its kind."""
    pairs = [numbers(point, 2) for point in value] if isinstance(value, list) else []
    points = [number for pair in pairs if pair is not None for number in pair]
    if not pairs or len(points) != 2 * len(pairs) or not all(map(math.isfinite, points)):
        raise ValueError(f"{shown(value)}: not [[x, y], …]")
    if kind == "rectangle" and len(pairs) not in (2, 4):
        raise ValueError(f"{len(pairs)} points are no rectangle")
    if kind == "circle" and (len(pairs) != 2 or max(map(abs, points)) > 1e9):
        raise ValueError(f"{shown(value)}: not the centre and a point of the circle")
    return points


def _circle(centre: Any, edge: Any) -> list[float]:
    """A circle as a polygon."""
    radius = math.dist(centre, edge)
    corners = 12
    if radius > 2 * _TOLERANCE:
        corners = max(corners, math.ceil(math.pi / math.acos(1 - _TOLERANCE / radius)))
    corners = min(corners, 1000)
    turns = (2 * math.pi * corner / corners for corner in range(corners))
    return [
        value
        for turn in turns
        for value in (centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn))
    ]
