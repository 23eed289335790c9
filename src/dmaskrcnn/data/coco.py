"""COCO JSON: polygons, uncompressed and compressed RLE, crowds, boxes without masks."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.image import image_size
from dmaskrcnn.data.objects import ObjectTableBuilder
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.data.problems import Problem, check_box
from dmaskrcnn.data.rle import check_rle
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import MOST_DATA, check_regular, read_json

# COCO's own files name "images" within the first few kB (after info and licences)
_SNIFF_BYTES = 1 << 16
_KEYS = re.compile(rb'"(images|annotations|categories)"\s*:')


def looks_like_coco(path: Path) -> bool:
    """Whether the beginning of a JSON file names COCO's keys: cheap, to find it among others."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            return _KEYS.search(file.read(_SNIFF_BYTES)) is not None
    except OSError:
        return False


def read_coco(path: Path) -> Part:
    """Read a COCO JSON with its annotations.

    Boxes ``[x, y, w, h]`` become xyxy. Objects without ``segmentation`` have a box only. Pascal
    VOC's flag ``difficult`` is read where a converter wrote it; COCO does not define it. What is
    wrong is collected in ``problems`` and left out: images that are not there, annotations that
    point to no image or no category, bad boxes, masks of another size than their picture.

    Raises:
        UserError: the file cannot be read, is not COCO, or none of its images exist.
    """
    data = _load(path, ("images", "annotations", "categories"))
    problems: list[Problem] = []
    images, ids, sizes = _read_images(path, data["images"], problems, sized=True)
    label_of, classes, category_ids = _read_categories(path, data["categories"], problems)

    index_of = {image_id: i for i, image_id in enumerate(ids)}
    left_out = {
        entry["id"]
        for entry in data["images"]
        if isinstance(entry, dict) and _is_id(entry.get("id"))
    } - set(ids)
    objects = ObjectTableBuilder()

    def add(entry: dict[str, Any]) -> tuple[str, str, str] | None:
        """Add an annotation; or say what is wrong: the kind of problem, the field, the reason."""
        image_id, category = entry.get("image_id"), entry.get("category_id")
        if _is_id(image_id) and image_id in left_out:
            return None  # told of already
        if not _is_id(image_id) or image_id not in index_of:
            return "missing image", ".image_id", f"no image has the id {image_id!r}"
        if not _is_id(category) or category not in label_of:
            return "category", ".category_id", f"no category has the id {category!r}"
        image = index_of[image_id]
        box, reason = _read_box(entry.get("bbox"), *sizes[image])
        if box is None:
            return "box", ".bbox", str(reason)
        segmentation, reason = _read_segmentation(entry.get("segmentation"), *sizes[image])
        if reason is not None:
            return "mask", ".segmentation", reason
        crowd, difficult = bool(entry.get("iscrowd", 0)), entry.get("difficult") in (1, True)
        objects.add(image, box, label_of[category], segmentation, crowd, difficult)
        return None

    for number, entry in enumerate(data["annotations"]):
        if not isinstance(entry, dict):
            where = f"annotations[{number}]"
            problems.append(Problem("annotation", path, where, "is not an object"))
        elif wrong := add(entry):
            where = f"annotations[id={entry['id']}]" if "id" in entry else f"annotations[{number}]"
            kind, field, reason = wrong
            problems.append(Problem(kind, path, where + field, reason))
    table = objects.build(len(images))
    return Part(path, "COCO JSON", images, ids, sizes, classes, category_ids, table, problems)


def list_coco_images(path: Path) -> Part:
    """The images that a COCO JSON lists, in its order. Annotations, categories and sizes are not
    looked at."""
    data = _load(path, ("images",))
    problems: list[Problem] = []
    images, ids, _ = _read_images(path, data["images"], problems, sized=False)
    return Part(path, "COCO JSON", images, ids, problems=problems)


def image_roots(path: Path) -> list[Path]:
    """Folders in which the images of a COCO JSON are looked for, in this order.

    Beside the JSON, in ``images/``, in a folder named like the split (``instances_val2017.json`` →
    ``val2017``), and the same one folder up (COCO's own layout: ``annotations/`` beside
    ``train2017/`` and ``val2017/``).
    """
    split = re.sub(
        r"^(instances|person_keypoints|captions|image_info|annotations|coco)[_.-]", "", path.stem
    )
    beside, above = path.parent, path.parent.parent
    return [
        folder
        for base in (beside, above)
        for folder in (
            base,
            base / "images",
            base / split,
            base / "images" / split,
            base / "JPEGImages",
        )
    ]


def _load(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        data = read_json(path, MOST_DATA)
    except OSError as error:
        raise UserError(
            f"{path}: cannot read the file ({error.strerror}); check the path"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path}: not valid JSON ({first_line(error)}); name a COCO JSON, a Pascal VOC "
            "folder or an image folder"
        ) from error
    if not isinstance(data, dict):
        raise UserError(
            f"{path}: JSON, but not COCO: the top level is a {type(data).__name__}, "
            "not an object with 'images'"
        )
    for key in keys:
        if not isinstance(data.get(key), list):
            found = f"it has: {', '.join(list(data)[:6])}" if data else "it is empty"
            raise UserError(f"{path}: JSON, but not COCO: no list {key!r} ({found})")
    return data


def _is_id(value: Any) -> TypeGuard[int | str]:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _read_images(
    path: Path, entries: list[Any], problems: list[Problem], sized: bool
) -> tuple[list[Path], list[int | str], list[tuple[int, int]]]:
    roots = image_roots(path)
    images: dict[int | str, tuple[Path, tuple[int, int]]] = {}
    missing = 0
    for number, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        image_id, name = entry.get("id"), entry.get("file_name")
        if not _is_id(image_id) or not isinstance(name, str) or not name:
            where = f"images[{number}]"
            problems.append(
                Problem("image entry", path, where, "has no usable 'id' and 'file_name'")
            )
            continue
        where = f"images[id={image_id}]"
        if image_id in images:
            problems.append(Problem("duplicate id", path, where, "the id occurs twice"))
            continue
        file = next((root / name for root in roots if os.path.isfile(root / name)), None)
        if file is None:
            missing += 1
            reason = f"{name} is neither beside the JSON nor in images/ there"
            problems.append(Problem("missing image", path, f"{where}.file_name", reason))
            continue
        if file != roots[0] / name:  # where one was, the next will be
            roots.sort(key=lambda root, name=name, file=file: root / name != file)
        size = (0, 0)
        if sized:
            try:
                size = _read_size(entry) or image_size(file)[0]
            except UserError as error:
                problems.append(Problem("unreadable", path, where, str(error)))
                continue
        images[image_id] = (file, size)
    if not images:
        if missing:
            raise UserError(
                f"{path}: none of its {missing} images found; looked in "
                f"{', '.join(map(str, image_roots(path)[:4]))}, …"
            )
        raise UserError(f"{path}: images: no image is listed; nothing to do")
    files, sizes = zip(*images.values(), strict=True)
    return list(files), list(images), list(sizes) if sized else []


def _read_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    if (
        isinstance(height, (int, float))
        and isinstance(width, (int, float))
        and 0 < height < 1 << 24
        and 0 < width < 1 << 24
    ):
        return int(height), int(width)
    return None


def _read_categories(
    path: Path, entries: list[Any], problems: list[Problem]
) -> tuple[dict[int | str, int], tuple[str, ...], tuple[int, ...] | None]:
    label_of: dict[int | str, int] = {}
    ids: dict[str, int | str] = {}
    for number, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        category, name = entry.get("id"), entry.get("name")
        if not _is_id(category) or not isinstance(name, str) or not name.strip():
            where = f"categories[{number}]"
            problems.append(Problem("category", path, where, "has no usable 'id' and 'name'"))
            continue
        if category in label_of:
            problems.append(
                Problem("category", path, f"categories[id={category}]", "the id occurs twice")
            )
            continue
        ids.setdefault(canonical(name), category)
        label_of[category] = list(ids).index(canonical(name))
    integers = tuple(i for i in ids.values() if isinstance(i, int))
    return label_of, tuple(ids), integers if len(integers) == len(ids) else None


def _read_box(
    value: Any, height: int, width: int
) -> tuple[tuple[float, float, float, float] | None, str | None]:
    try:
        x, y, w, h = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        return None, f"{str(value)[:60]} is not [x, y, width, height]"
    return check_box((x, y, x + w, y + h), height, width)


def _read_segmentation(value: Any, height: int, width: int) -> tuple[Any, str | None]:
    """The segmentation to keep (None: no mask), or what is wrong with it. Compressed RLE is decoded
    only when used."""
    if not value:
        return None, None
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        if size != [height, width]:
            return None, (
                f"the mask is of size {str(size)[:40]}, its picture of {[height, width]} "
                "(height, width)"
            )
        return {"size": size, "counts": counts}, check_rle(value)
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        return None, "is neither a list of polygons nor RLE"
    limit = 2 * max(height, width)
    for polygon in value:
        try:
            values = np.asarray(polygon or [0, 0])
        except ValueError:  # lists within
            values = np.asarray("")
        if len(polygon) % 2 or values.dtype.kind not in "if" or not np.isfinite(values).all():
            return None, "a polygon is not a list of x, y pairs of finite numbers"
        if values.min() < -limit or values.max() > limit:
            return None, f"a polygon lies far outside the {width}x{height} picture"
    # fewer than three points enclose nothing
    polygons = [polygon for polygon in value if len(polygon) >= 6]
    return polygons or None, None
