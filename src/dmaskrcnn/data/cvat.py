"""CVAT's own XML, as it exports images ("CVAT for images 1.1"): boxes, polygons, masks."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmaskrcnn.data.coco_images import (
    find_image,
    find_missing,
    image_folders,
    image_roots,
    renamed_note,
)
from dmaskrcnn.data.coco_objects import InvalidEntryError
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.part_builder import PartBuilder
from dmaskrcnn.data.problems import NOT_READ
from dmaskrcnn.data.rle import run_lengths
from dmaskrcnn.data.segmentation import Box
from dmaskrcnn.data.values import number, shown
from dmaskrcnn.data.xml_files import read_xml
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import MOST_TEXT, check_regular

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LARGEST_SIDE = 1 << 24
_NOT_READ = ("polyline", "points", "ellipse", "cuboid", "skeleton", "tag")


def looks_like_cvat(path: Path) -> bool:
    """Whether a file begins as CVAT's XML."""
    if path.suffix.lower() != ".xml":
        return False
    try:
        check_regular(path)
        with path.open("rb") as file:
            return re.search(rb"<annotations[\s>]", file.read(1 << 12)) is not None
    except OSError:
        return False


def cvat_file(folder: Path) -> Path | None:
    """The one XML of CVAT in a folder, if there is just one XML."""
    files = [file for file in folder.glob("*.xml") if not file.name.startswith(".")]
    return files[0] if len(files) == 1 and looks_like_cvat(files[0]) else None


def read_cvat(path: Path, orientation: Orientation = "auto", folders: Sequence[Path] = ()) -> Part:
    """Read the images that the XML lists; those without shapes are background.

    Coordinates are edges of pixels. A turned box is read as the box around it; polylines, points,
    ellipses, cuboids and tags are no objects of this kind and are noted. Problems are collected.

    Args:
        path: the XML.
        orientation: in which frame the boxes of rotated pictures lie.
        folders: in which pictures are looked for, besides beside the XML and in ``images/``.

    Raises:
        UserError: it cannot be read, is of a video, or none of its pictures is usable.
    """
    root = _parse(path)
    if root.find("track") is not None:
        raise UserError(f"{path}: CVAT's XML of a video; export it as CVAT for images 1.1, or COCO")
    labels = [element.findtext("name") or "" for element in root.iter("label")]
    builder = PartBuilder(path, "CVAT XML", orientation, filter(str.strip, labels))
    roots, folders = image_roots(path), image_folders(folders)
    skipped: dict[str, int] = {}
    images = list(root.iter("image"))
    found, renamed = _find_images(images, roots, folders)
    if renamed:
        builder.notes.append(renamed_note(path, "image", renamed))
    for index, image in enumerate(images):
        name, file = image.get("name") or "", found[_spelt(image)]
        where = f"image {name or index}"
        size = (_side(image.get("height")), _side(image.get("width")))
        if not isinstance(file, Path):
            hint = "" if folders else ": --images DIR"
            builder.problem(file.kind, path, where, f"{file.reason}{hint}")
            continue
        if not all(size):
            text = f"width and height are {shown(image.get('width'))}, {shown(image.get('height'))}"
            builder.problem("size", path, where, f"{text}, not numbers of pixels")
            continue
        if not builder.begin(file, path, where, (size[0], size[1])):
            continue
        for shape in image:
            if shape.tag in _NOT_READ:
                skipped[shape.tag] = skipped.get(shape.tag, 0) + 1
            elif shape.tag in ("box", "polygon", "mask"):
                _add(shape, f"{where}: {shape.tag} {shown(shape.get('label'))}", builder)
    for tag, count in skipped.items():
        builder.note(NOT_READ, path, tag, f"{count} of these: neither box, polygon nor mask")
    return builder.build(_ids(builder.images, path.parent))


def _find_images(
    images: list[Element], roots: list[Path], folders: Sequence[Path]
) -> tuple[dict[str, Path | InvalidEntryError], dict[str, Path]]:
    """The file of each image as it is `_spelt`, or why there is none; and those of another name."""
    found: dict[str, Path | InvalidEntryError] = {}
    missing: list[str] = []
    names = {_spelt(image): image.get("name") or "" for image in images}
    uses = Counter(names.values())
    for spelt, name in names.items():
        try:
            file = find_image(spelt, roots, folders)
            if file is None and uses[name] == 1:  # otherwise which of them it is, nobody knows
                file = find_image(name, roots, folders)
        except InvalidEntryError as wrong:
            file = wrong
        if file is not None:
            found[spelt] = file
        else:
            missing.append(spelt)
    if not missing:
        return found, {}
    others = (file for file in found.values() if isinstance(file, Path))
    meant = find_missing(missing, folders, others, "XML")
    return found | meant, {name: file for name, file in meant.items() if isinstance(file, Path)}


def _spelt(image: Element) -> str:
    """The name of an image in the folder of its subset, where there are such."""
    name, subset = image.get("name") or "", image.get("subset") or ""
    return f"{subset}/{name}" if name and subset else name


def _ids(images: list[Path], folder: Path) -> list[int | str]:
    """Of pictures that may lie elsewhere than in the folder, and not all in one."""
    for place in (images[0].parent if images else folder, folder):
        if all(image.is_relative_to(place) for image in images):
            return stem_ids(images, place)
    files = [Path(os.path.abspath(image)) for image in images]
    return stem_ids(files, Path(os.path.commonpath([file.parent for file in files])))


def _parse(path: Path) -> Element:
    root = read_xml(path, MOST_TEXT * 5)
    if root is None or root.tag != "annotations":
        raise UserError(f"{path}: not CVAT's XML: the top element is not <annotations>")
    return root


def _side(text: str | None) -> int:
    """A side in pixels; 0 where it is none."""
    side = number(text) if text else None
    return int(side) if side is not None and 0 < side < _LARGEST_SIDE and side == int(side) else 0


def _add(shape: Element, where: str, builder: PartBuilder) -> None:
    """Add a shape to the image begun last."""
    file, name = builder.path, shape.get("label")
    try:
        if shape.tag == "box":
            builder.add(file, where, name, _box(shape))
        elif shape.tag == "polygon":
            builder.add(file, where, name, None, [_points(shape)])
        else:
            builder.add(file, where, name, None, _mask(shape, *builder.sizes[-1]))
    except ValueError as error:
        builder.problem("mask" if shape.tag == "mask" else shape.tag, file, where, str(error))


def _numbers(shape: Element, *names: str) -> list[float]:
    values = [number(shape.get(name) or "") for name in names]
    if None in values or not all(math.isfinite(value or 0) for value in values):
        given = [shape.get(name) for name in names]
        raise ValueError(f"{', '.join(names)} are {shown(given)}, not numbers")
    return [value for value in values if value is not None]


def _box(shape: Element) -> Box:
    x0, y0, x1, y1 = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
    angle = number(shape.get("rotation") or "0")
    if angle is None or not math.isfinite(angle):
        raise ValueError(f"rotation is {shown(shape.get('rotation'))}, not a number of degrees")
    if not angle:
        return x0, y0, x1, y1
    sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    x, y, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    width, height = w * cosine + h * sine, w * sine + h * cosine
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _points(shape: Element) -> list[float]:
    """``x,y;x,y;…``"""
    text = shape.get("points") or ""
    values = [number(word) for pair in text.split(";") for word in pair.split(",")]
    if None in values or any(pair.count(",") != 1 for pair in text.split(";")):
        raise ValueError(f"points are {shown(text)}, not x,y;x,y;…")
    return [value for value in values if value is not None]


def _mask(shape: Element, height: int, width: int) -> dict[str, object]:
    """CVAT's runs go along the rows of a rectangle; COCO's go down the columns of the picture."""
    left, top, w, h = (int(value) for value in _numbers(shape, "left", "top", "width", "height"))
    if not (left >= 0 and top >= 0 and 0 < w <= width - left and 0 < h <= height - top):
        raise ValueError(f"left, top, width, height {[left, top, w, h]} lie outside the picture")
    words = (shape.get("rle") or "").split(",")
    runs = [int(word) if word.strip().isdecimal() and len(word) < 12 else -1 for word in words]
    if min(runs) < 0 or sum(runs) != w * h:
        raise ValueError(f"rle {shown(shape.get('rle'))} does not cover its {w}x{h} pixels")
    mask = np.zeros((height, width), dtype=bool)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : top + h, left : left + w] = flat.reshape(h, w)
    return {"size": [height, width], "counts": run_lengths(mask)}
