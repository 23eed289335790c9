"""COCO JSON: polygons, uncompressed and compressed RLE, crowds, boxes without masks."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from dmaskrcnn.data.coco_categories import read_categories
from dmaskrcnn.data.coco_columns import Batch, Columns, check_columns, in_columns
from dmaskrcnn.data.coco_images import Listed, read_images, renamed_note
from dmaskrcnn.data.coco_objects import CocoObject, InvalidEntryError, read_object
from dmaskrcnn.data.coco_shares import shares_for_pixels
from dmaskrcnn.data.foreign import LOOKED_AT, json_kind
from dmaskrcnn.data.json_parts import parse_in_parts
from dmaskrcnn.data.objects import ObjectTableBuilder
from dmaskrcnn.data.orientation import Orientation, of_tool, turned_hint
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.data.values import identifier, number, shown, too_large
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import MOST_DATA, check_regular, read_bytes, read_json

# COCO's own files name "images" within the first few kB (after info and licences)
_SNIFF_BYTES = 1 << 16
_LARGE = 1 << 24  # bytes of a file whose annotations are read in parts
_KEYS = re.compile(rb'"(images|annotations|categories)"\s*:')


def looks_like_coco(path: Path) -> bool:
    """Whether the beginning of a JSON file names COCO's keys: cheap, to find it among others."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            return _KEYS.search(file.read(_SNIFF_BYTES)) is not None
    except OSError:
        return False


def read_coco(path: Path, orientation: Orientation = "auto", folders: Sequence[Path] = ()) -> Part:
    """Read a COCO JSON with its annotations.

    Boxes ``[x, y, w, h]`` become xyxy. Objects without ``segmentation`` have a box only, those
    without ``bbox`` that of their mask. Pascal VOC's flag ``difficult`` is read where a converter
    wrote it; COCO does not define it. What is wrong is collected in ``problems`` and left out:
    images that are not there, annotations that point to no image or no category, fields of another
    type, bad boxes, masks of another size than their picture.

    Args:
        path: the file.
        orientation: in which frame the boxes of rotated pictures lie.
        folders: in which its pictures are looked for first.

    Raises:
        UserError: the file cannot be read, is not COCO, or none of its images exist.
    """
    data, annotations = _load_annotated(path)
    problems: list[Problem] = []
    notes: list[Problem] = []
    orientation = of_tool(data.get("info"), orientation)
    listed = read_images(path, data["images"], problems, orientation, folders)
    images, ids, sizes = listed.files, listed.ids, listed.sizes
    if listed.renamed:
        notes.append(renamed_note(path, "images", listed.renamed))
    used: set[int | str | None] = set()
    for columns, others in annotations:
        used |= set(columns.ids[:, 2].tolist())
        used |= {identifier(e.get("category_id")) for _, e in others if isinstance(e, dict)}
    categories = read_categories(path, data["categories"], used, problems, notes)
    objects = _Objects(path, listed, categories.label_of)
    if shares := shares_for_pixels(annotations, sizes):
        problems.append(Problem("shares for pixels", path, "annotations", shares))
    else:
        for found, others in annotations:
            objects.add(found, others)
    problems += objects.problems
    notes += objects.notes
    table = objects.table.build(len(images))
    return Part(
        path,
        "COCO JSON",
        images,
        ids,
        sizes,
        categories.classes,
        categories.ids,
        table,
        problems,
        notes,
    )


def list_coco_images(path: Path, folders: Sequence[Path] = ()) -> Part:
    """The images that a COCO JSON lists, in its order. Annotations, categories and sizes are not
    looked at."""
    data = _load(path, ("images",))
    problems: list[Problem] = []
    listed = read_images(path, data["images"], problems, None, folders)
    return Part(path, "COCO JSON", listed.files, listed.ids, problems=problems)


def _load_annotated(path: Path) -> tuple[dict[str, Any], list[Batch]]:
    """What a file holds but for its annotations, and these. A large file is never parsed as a
    whole, which takes six times its size."""
    batches: list[Batch] = []

    def take(entries: list[Any]) -> None:
        batches.extend(in_columns(entries, sum(len(c.ids) + len(o) for c, o in batches)))
        firsts.extend(entries[: LOOKED_AT - len(firsts)])

    firsts: list[Any] = []
    keys = ("images", "annotations", "categories")
    if path.is_file() and path.stat().st_size > _LARGE:
        with suppress(OSError):
            data = parse_in_parts(read_bytes(path, MOST_DATA), "annotations", take)
            if data is not None:
                return _checked(path, data | {"annotations": firsts}, keys), batches
    data = _load(path, keys)
    return data, list(in_columns(data.pop("annotations"), 0))


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
    return _checked(path, data, keys)


def _checked(path: Path, data: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """The content. Raises UserError where it is not COCO's."""
    if not isinstance(data, dict):
        raise UserError(
            f"{path}: JSON, but not COCO: the top level is a {type(data).__name__}, "
            f"not an object with 'images'{_in_brackets(json_kind(data))}"
        )
    for key in keys:
        if not isinstance(data.get(key), list):
            found = f"it has: {', '.join(list(data)[:6])}" if data else "it is empty"
            raise UserError(
                f"{path}: JSON, but not COCO: no list {key!r} ({json_kind(data) or found})"
            )
    if "annotations" in keys and (kind := json_kind(data)):
        raise UserError(f"{path}: JSON, but not COCO as it is read here: {kind}")
    return data


def _reference(
    entry: dict[str, Any], field: str, known: Sequence[Collection[int | str]], what: str
) -> int | str:
    """The id that an annotation points to. Raises InvalidEntryError where there is none such."""
    value = identifier(entry.get(field))
    if value is not None and any(value in ids for ids in known):
        return value
    other = number(value) if isinstance(value, str) else str(value)
    hint = ""
    if any(other in ids for ids in known):
        hint = f", but {shown(identifier(other))} is one"
    elif size := too_large(entry.get(field)):
        hint = f", which is {size}"
    kind = "category" if what == "category" else "missing image"
    raise InvalidEntryError(
        kind, f".{field}", f"no {what} has the id {shown(entry.get(field))}{hint}"
    )


class _Objects:
    """Collects annotations: those in columns all at once, the others, and those that are not as
    they should be, one by one."""

    def __init__(self, path: Path, images: Listed, label_of: Mapping[int | str, int]) -> None:
        self.table = ObjectTableBuilder()
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._path, self._images, self._label_of = path, images, label_of
        self._index_of = {image_id: i for i, image_id in enumerate(images.ids)}
        self._sizes = np.array(images.sizes, dtype=np.int64).reshape(-1, 2)

    def add(self, columns: Columns, others: list[tuple[int, Any]]) -> None:
        """Add one batch of `in_columns`."""
        checked = check_columns(columns, self._index_of, self._label_of, self._sizes)
        good = checked.good
        self.table.add_polygons(
            checked.images[good],
            checked.boxes[good],
            checked.labels[good],
            columns.places[good],
            columns.packed(good),
        )
        rest = [
            (int(columns.places[row]), columns.entry(row)) for row in np.flatnonzero(~good).tolist()
        ]
        for place, entry in sorted(rest + others, key=itemgetter(0)):
            self._add(place, entry)

    def _add(self, place: int, entry: Any) -> None:
        if not isinstance(entry, dict):
            where, text = f"annotations[{place}]", f"is {shown(entry)}, not an object"
            self.problems.append(Problem("annotation", self._path, where, text))
            return
        where = (
            f"annotations[id={shown(entry['id'])}]" if "id" in entry else f"annotations[{place}]"
        )
        try:
            found = self._read(place, entry)
        except InvalidEntryError as wrong:
            problem = Problem(wrong.kind, self._path, where + wrong.field, wrong.reason)
            self.problems.append(problem)
            return
        if found is None:
            return
        if found.empty_mask:
            field = f"{where}.segmentation"
            self.problems.append(Problem("mask", self._path, field, found.empty_mask))
        self.notes += [
            Problem(kind, self._path, where + field, text) for kind, field, text in found.notes
        ]

    def _read(self, place: int, entry: dict[str, Any]) -> CocoObject | None:
        """Add an annotation. Raises InvalidEntryError."""
        images = self._images
        image_id = _reference(entry, "image_id", (self._index_of, images.left_out), "image")
        if image_id in images.left_out:
            return None  # told of already
        category = _reference(entry, "category_id", (self._label_of,), "category")
        image = self._index_of[image_id]
        try:
            found = read_object(entry, *images.sizes[image])
        except InvalidEntryError as wrong:
            if wrong.box is not None:
                wrong.reason += turned_hint(images.files[image], wrong.box, images.sizes[image])
            raise
        label, mask = self._label_of[category], found.segmentation
        self.table.add(image, found.box, label, mask, found.crowd, found.difficult, place)
        return found


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""
