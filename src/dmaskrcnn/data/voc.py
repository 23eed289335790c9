"""Pascal VOC: a folder with ``JPEGImages/`` and ``Annotations/`` (VOC, RTTS, DAWN), or a folder of
XML files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.foreign import file_kind
from dmaskrcnn.data.image import image_size, list_images
from dmaskrcnn.data.objects import ObjectTableBuilder
from dmaskrcnn.data.orientation import Orientation, boxes_frame
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.problems import Problem, check_box
from dmaskrcnn.data.values import flag, number, shown
from dmaskrcnn.data.xml_files import read_xml
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_IMAGE_FOLDERS = ("JPEGImages", "images")


def voc_folders(path: Path) -> tuple[Path, Path] | None:
    """The folders of images and of XML files if this is a Pascal VOC folder.

    Recognised: ``JPEGImages/`` (or ``images/``) with ``Annotations/``; and a folder that itself
    holds XML files, whose images are beside them, or beside the folder in ``JPEGImages/``,
    ``images/`` or the folder whose name begins this one's (``target_annotations`` → ``target``).
    """
    annotations = path / "Annotations"
    if annotations.is_dir():
        for name in _IMAGE_FOLDERS:
            if (path / name).is_dir():
                return path / name, annotations
        return (path, annotations) if list_images(path, recursive=False) else None
    if next(path.glob("*.xml"), None) is None:
        return None
    if list_images(path, recursive=False):
        return path, path
    siblings = [path.parent / name for name in _IMAGE_FOLDERS if (path.parent / name).is_dir()]
    siblings += sorted(
        (
            p
            for p in path.parent.iterdir()
            if p != path and p.is_dir() and path.name.startswith(p.name)
        ),
        key=lambda p: -len(p.name),
    )
    return (siblings[0], path) if siblings else None


def read_voc(
    path: Path, image_folder: Path, annotation_folder: Path, orientation: Orientation = "auto"
) -> Part:
    """Read the images that have an XML file of the same name, in the order of their names.

    The XML lies in the same subfolder as its picture, or else in any, where no other XML has its
    stem and no other picture wants it.
    VOC counts pixels from 1 and includes the last: ``xmin…xmax`` covers the edges ``xmin − 1 …
    xmax``. Tools that write 0 for the first pixel (OpenLabeling, as in DAWN) would give −1: clipped
    to 0. All objects have boxes only; tags that are missing (``difficult``, ``truncated``,
    ``pose``, ``size``) are taken as 0 or from the picture. Problems are collected, not raised.

    Raises:
        UserError: no annotated image at all.
    """
    problems: list[Problem] = []
    notes: list[Problem] = []
    pictures = list_images(image_folder)
    xmls = _XmlFiles(annotation_folder, [image.relative_to(image_folder) for image in pictures])
    images: list[Path] = []
    sizes: list[tuple[int, int]] = []
    objects = ObjectTableBuilder()
    classes: dict[str, int] = {}
    for image in pictures:
        name = image.relative_to(image_folder)
        file = xmls.of.get(name)
        if file is None:
            reason = f"no {name.with_suffix('.xml')} in {annotation_folder}: left out"
            notes.append(Problem("not annotated", image, "", reason))
            continue
        try:
            root = _parse(file)
            size = _read_size(root, image, orientation)
        except UserError as error:
            problems.append(Problem("unreadable", file, "", str(error).removeprefix(f"{file}: ")))
            continue
        if isinstance(size, str):
            problems.append(Problem("size", file, "size", size))
            continue
        for index, element in enumerate(root.iter("object"), 1):
            found = _read_object(element, *size)
            if isinstance(found, _Object):
                label = classes.setdefault(found.name, len(classes))
                objects.add(len(images), found.box, label, difficult=found.difficult)
            else:
                kind, field, reason = found
                problems.append(Problem(kind, file, f"object {index}.{field}", reason))
        images.append(image)
        sizes.append(size)
    problems += [
        Problem("missing image", file, "", f"annotates a picture that is not in {image_folder}")
        for file in xmls.left
    ]
    for file, several in xmls.wanted.items():
        first, second = (image_folder / name for name in several[:2])
        reason = f"may be of {first} or of {second}; put it into the subfolder of its picture"
        problems.append(Problem("unclear", file, "", reason))
    if not images:
        if problems:
            raise UserError(f"{problems[0]}; correct it (no image of {path} is usable)")
        raise UserError(
            f"{path}: no picture in {image_folder} has an annotation in "
            f"{annotation_folder}; names must match"
        )
    ordered = tuple(sorted(classes))  # the order must not hang on which image comes first
    table = objects.build(len(images)).relabel(_positions(classes, ordered))
    ids = stem_ids(images, image_folder)
    return Part(path, "Pascal VOC", images, ids, sizes, ordered, None, table, problems, notes)


def _positions(classes: dict[str, int], ordered: tuple[str, ...]) -> np.ndarray:
    return np.array([ordered.index(name) for name in classes], dtype=np.int64)


class _XmlFiles:
    """Which XML file of a folder and its subfolders is that of which picture.

    Attributes:
        of: per picture, named relative to its folder, its file.
        wanted: per file the pictures, where it may be that of several.
        left: the files that are of no picture.
    """

    def __init__(self, folder: Path, pictures: Sequence[Path]) -> None:
        files: dict[Path, Path] = {}
        stems: dict[str, list[Path]] = {}
        for file in sorted(folder.rglob("*.xml")):
            name = file.relative_to(folder)
            if not any(part.startswith(".") for part in name.parts):
                files[name.with_suffix("")] = file
                stems.setdefault(file.stem, []).append(name.with_suffix(""))
        # those of the same subfolder first: a file that has its picture is free for no other
        self.of: dict[Path, Path] = {}
        wanting: dict[Path, list[Path]] = {}
        for picture in pictures:
            if (file := files.pop(picture.with_suffix(""), None)) is not None:
                self.of[picture] = file
            elif len(same := stems.get(picture.stem, [])) == 1:
                wanting.setdefault(same[0], []).append(picture)
        self.wanted: dict[Path, list[Path]] = {}
        for name, several in wanting.items():
            if (file := files.pop(name, None)) is None:
                continue
            if len(several) == 1:
                self.of[several[0]] = file
            else:
                self.wanted[file] = several
        self.left = list(files.values())


def _parse(file: Path) -> Element:
    root = read_xml(file)
    if root is None or root.tag != "annotation":
        kind = file_kind(file)
        raise UserError(
            f"{file}: not Pascal VOC: the top element is not <annotation>"
            f"{f' ({kind})' if kind else ''}"
        )
    return root


def _read_size(root: Element, image: Path, orientation: Orientation) -> tuple[int, int] | str:
    """The size that the boxes refer to: as displayed, unless the XML states the stored size of an
    EXIF-rotated picture, or ``orientation`` settles it.

    A text says how the stated size contradicts the picture: nobody knows what the boxes mean then.
    """
    sides = []
    for tag in ("height", "width"):
        text = root.findtext(f"size/{tag}")
        side = number(text) if text and text.strip() else 0.0
        if side is None or not 0 <= side < 1 << 24 or side != int(side):
            return f"{tag} is {shown(text)}, not a number of pixels"
        sides.append(int(side))
    displayed, stored = image_size(image)
    stated = (sides[0], sides[1])
    # tools that could not open the picture write 0
    if all(stated) and stated not in (displayed, stored):
        return f"says {stated[1]}x{stated[0]}, but {image.name} is {displayed[1]}x{displayed[0]}"
    return boxes_frame(image, stated if all(stated) else None, orientation)


@dataclass(frozen=True)
class _Object:
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


def _read_object(element: Element, height: int, width: int) -> _Object | tuple[str, str, str]:
    """An object; or what is wrong with it: the kind of problem, the field, the reason."""
    name = canonical(element.findtext("name") or "")
    if not name:
        return "category", "name", "is empty"
    text = element.findtext("difficult")
    difficult = flag(text if text and text.strip() else None)
    if difficult is None:
        return "flag", "difficult", f"is {shown(text)}, neither 0 nor 1"
    box, reason = _read_box(element, height, width)
    if box is None:
        return "box", "bndbox", str(reason)
    return _Object(name, box, difficult)


def _read_box(
    element: Element, height: int, width: int
) -> tuple[tuple[float, float, float, float] | None, str | None]:
    texts = [element.findtext(f"bndbox/{tag}") for tag in ("xmin", "ymin", "xmax", "ymax")]
    corners = [number(text) for text in texts]
    if None in corners:
        return None, f"xmin, ymin, xmax, ymax are {shown(texts)}, not four numbers"
    xmin, ymin, xmax, ymax = (corner for corner in corners if corner is not None)
    shape = f"the box [{xmin:g}, {ymin:g}, {xmax:g}, {ymax:g}] (xmin, ymin, xmax, ymax)"
    # one pixel wide by the letter of VOC; in practice a slip of the annotator
    if xmin == xmax or ymin == ymax:
        return None, f"{shape} has no area"
    if xmax < xmin or ymax < ymin:
        return None, f"{shape} is inverted"
    return check_box((xmin - 1, ymin - 1, xmax, ymax), height, width)
