"""Pascal VOC: a folder with ``JPEGImages/`` and ``Annotations/`` (VOC, RTTS, DAWN), or a folder of
XML files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import defusedxml
import numpy as np
from defusedxml import ElementTree

from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.image import image_size, list_images
from dmaskrcnn.data.objects import ObjectTableBuilder
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.problems import Problem, check_box
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import read_bytes

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


def read_voc(path: Path, image_folder: Path, annotation_folder: Path) -> Part:
    """Read the images that have an XML file of the same stem, in the order of their names.

    VOC counts pixels from 1 and includes the last: ``xmin…xmax`` covers the edges ``xmin − 1 …
    xmax``. Tools that write 0 for the first pixel (OpenLabeling, as in DAWN) would give −1: clipped
    to 0. All objects have boxes only; tags that are missing (``difficult``, ``truncated``,
    ``pose``, ``size``) are taken as 0 or from the picture. Problems are collected, not raised.

    Raises:
        UserError: no annotated image at all.
    """
    problems: list[Problem] = []
    notes: list[Problem] = []
    xml_of = {
        file.stem: file
        for file in sorted(annotation_folder.glob("*.xml"))
        if not file.name.startswith(".")
    }
    images: list[Path] = []
    sizes: list[tuple[int, int]] = []
    objects = ObjectTableBuilder()
    classes: dict[str, int] = {}
    for image in list_images(image_folder):
        file = xml_of.pop(image.stem, None)
        if file is None:
            notes.append(
                Problem(
                    "not annotated",
                    image,
                    "",
                    f"no {image.stem}.xml in {annotation_folder}: left out",
                )
            )
            continue
        try:
            root = _parse(file)
            size = _read_size(root, image)
        except UserError as error:
            problems.append(Problem("unreadable", file, "", str(error).removeprefix(f"{file}: ")))
            continue
        if isinstance(size, str):
            problems.append(Problem("size", file, "size", size))
            continue
        for number, element in enumerate(root.iter("object")):
            where = f"object {number + 1}"
            name = canonical(element.findtext("name") or "")
            box, reason = _read_box(element, *size)
            if not name:
                problems.append(Problem("category", file, f"{where}.name", "is empty"))
            elif box is None:
                problems.append(Problem("box", file, f"{where}.bndbox", str(reason)))
            else:
                difficult = (element.findtext("difficult") or "0").strip().lower() in ("1", "true")
                objects.add(
                    len(images), box, classes.setdefault(name, len(classes)), difficult=difficult
                )
        images.append(image)
        sizes.append(size)
    problems += [
        Problem("missing image", file, "", f"annotates a picture that is not in {image_folder}")
        for file in xml_of.values()
    ]
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


def _parse(file: Path) -> Element:
    try:
        root = ElementTree.fromstring(read_bytes(file))
    except defusedxml.DefusedXmlException as error:
        raise UserError(f"{file}: XML with entities is refused; remove the DOCTYPE") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{file}: not valid XML ({error})") from error
    except OSError as error:
        raise UserError(f"{file}: cannot read the file ({error.strerror})") from error
    if root is None or root.tag != "annotation":
        raise UserError(f"{file}: not Pascal VOC: the top element is not <annotation>")
    return root


def _read_size(root: Element, image: Path) -> tuple[int, int] | str:
    """The size that the boxes refer to: as displayed, unless the XML states the stored size of an
    EXIF-rotated picture.

    A text says how the stated size contradicts the picture: nobody knows what the boxes mean then.
    """
    displayed, stored = image_size(image)
    try:
        stated = (
            int(float(root.findtext("size/height") or 0)),
            int(float(root.findtext("size/width") or 0)),
        )
    except (ValueError, OverflowError):
        stated = (0, 0)
    if stated in (displayed, stored):
        return stated
    if all(stated):
        return f"says {stated[1]}x{stated[0]}, but {image.name} is {displayed[1]}x{displayed[0]}"
    return displayed


def _read_box(
    element: Element, height: int, width: int
) -> tuple[tuple[float, float, float, float] | None, str | None]:
    texts = [element.findtext(f"bndbox/{tag}") for tag in ("xmin", "ymin", "xmax", "ymax")]
    try:
        xmin, ymin, xmax, ymax = (float(text or "") for text in texts)
    except ValueError:
        return None, f"xmin, ymin, xmax, ymax are {texts}, not four numbers"
    # one pixel wide by the letter of VOC; in practice a slip of the annotator
    if xmin == xmax or ymin == ymax:
        return (
            None,
            f"the box [{xmin:g}, {ymin:g}, {xmax:g}, {ymax:g}] (xmin, ymin, xmax, ymax) has no "
            "area",
        )
    if xmax < xmin or ymax < ymin:
        return (
            None,
            f"the box [{xmin:g}, {ymin:g}, {xmax:g}, {ymax:g}] (xmin, ymin, xmax, ymax) is "
            "inverted",
        )
    return check_box((xmin - 1, ymin - 1, xmax, ymax), height, width)
