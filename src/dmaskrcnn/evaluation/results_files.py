"""What stands in a file of detections, whoever wrote it: which class by name, and the fields of
COCO's results format."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmaskrcnn.data.classes import canonical, coco_names
from dmaskrcnn.data.splits import without_split
from dmaskrcnn.data.values import identifier, numbers, shown, too_large
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import MOST_DATA, read_json
from dmaskrcnn.output_folder import index_format

_log = logging.getLogger(__name__)
# where detectors put the name of a class; the first that is text counts
_NAMES = ("category_name", "class_name", "category", "class", "label")
_LOW = 0.05  # detections down to this score give average precision but for a thousandth


@dataclass
class ResultsContent:
    """The detections of a file.

    Attributes:
        path: the file.
        entries: in COCO's results format.
        names: the class of each ``category_id``, where the file says it; None where it does not.
        files: the picture of each ``image_id``, where the file says it; else empty.
    """

    path: Path
    entries: list[Any]
    names: dict[int | str, str] | None = None
    files: dict[int | str, str] = field(default_factory=dict)


def read_results(path: str | os.PathLike[str]) -> ResultsContent:
    """Read a list of COCO results; an object with such a list as ``annotations`` or ``detections``,
    and perhaps ``categories`` and ``images``; or the ``detections.json`` of ``dmaskrcnn predict``.

    ``file.json:coco`` says that its ids are COCO's own (1 person, 3 car, …), ``file.json:coco80``
    those of the 80 classes counted from 0.

    Raises:
        UserError: it cannot be read or is none of these.
    """
    file, naming = without_split(Path(path))
    try:
        data = read_json(file, MOST_DATA)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); name a COCO results JSON"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path}: is not JSON ({first_line(error)}); name a COCO results JSON"
        ) from error
    names = _standard_names(file, naming) if naming else None
    if isinstance(data, list):
        return ResultsContent(file, data, names)
    if not isinstance(data, dict):
        raise UserError(f"{file}: is no list of detections; found {type(data).__name__}")
    if data.get("format") == index_format("predict"):
        return _of_predict(file, data)
    entries = next((data[k] for k in ("annotations", "detections") if k in data), None)
    if not isinstance(entries, list):
        raise UserError(
            f"{file}: is not a COCO results file, which is a list of detections, or an object with "
            f"such a list as 'annotations' or 'detections'; found {', '.join(list(data)[:6])}"
        )
    if "categories" in data and names is None:
        names = _listed(file, data["categories"], "categories", "name")
    images = data.get("images")
    files = {} if images is None else _listed(file, images, "images", "file_name")
    return ResultsContent(file, entries, names, files)


def _standard_names(file: Path, naming: str) -> dict[int | str, str]:
    if naming == "coco":
        return coco_names()
    if naming == "coco80":
        return dict(enumerate(coco_names().values()))
    raise UserError(f"{file}:{naming}: {naming!r} is unknown; write {file}:coco or {file}:coco80")


def _listed(file: Path, entries: Any, where: str, name: str) -> dict[int | str, str]:
    """Per id the name, of a list of objects that have both. Raises UserError."""
    found: dict[int | str, str] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else [None]):
        entry = entry if isinstance(entry, dict) else {}
        number, text = identifier(entry.get("id")), entry.get(name)
        if number is None or not isinstance(text, str) or not text.strip():
            why = f"needs an id and a {name}"
            if size := too_large(entry.get("id")):
                why = f"the id {shown(entry['id'])} is {size}"
            raise UserError(f"{file}: {where}[{index}]: {why}; correct it")
        if found.setdefault(number, text) != text:
            raise UserError(f"{file}: {where}[{index}]: the id {number!r} occurs twice; correct it")
    return found


def _of_predict(file: Path, data: dict[str, Any]) -> ResultsContent:
    """``detections.json`` in COCO's fields. Raises UserError."""
    if data.get("complete") is not True:
        raise UserError(f"{file}: is of an interrupted run; repeat `dmaskrcnn predict`")
    threshold, images = data.get("threshold"), data.get("images")
    if isinstance(threshold, float) and threshold > _LOW:
        _log.warning(
            "%s: holds detections of at least %g alone; average precision counts lower ones, too "
            "(dmaskrcnn predict --threshold 0)",
            *(file, threshold),
        )
    entries = []
    for number, image in enumerate(images if isinstance(images, list) else [None]):
        where = f"{file}: images[{number}]"
        image = image if isinstance(image, dict) else {}
        found = image.get("detections")
        if not isinstance(found, list):
            raise UserError(f"{where}: has no list 'detections'; repeat `dmaskrcnn predict`")
        for one in found:
            box = numbers(one.get("box"), 4) if isinstance(one, dict) else None
            if box is None:
                raise UserError(f"{where}: has no box [x1, y1, x2, y2]; repeat `dmaskrcnn predict`")
            x0, y0, x1, y1 = box[0], box[1], box[2], box[3]
            entry = {"file_name": image.get("file"), "category_name": one.get("class")}
            entry |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "score": one.get("score")}
            entries.append(entry | {"segmentation": one.get("mask")})
    return ResultsContent(file, entries)


class Classes:
    """Turns the classes of entries into names: by name where there is one, by the file's own list,
    and by the data set's ids where it has ids of its own."""

    def __init__(
        self, content: ResultsContent, category_ids: Mapping[str, int], own_ids: bool
    ) -> None:
        self._content, self._own = content, own_ids
        self._ids = {number: canonical(name) for name, number in category_ids.items()}
        coco = {number: canonical(name) for number, name in coco_names().items()}
        self._standard = all(coco.get(number) == name for number, name in self._ids.items())
        self._coco = coco
        self._warned = False

    def name(self, where: str, entry: dict[str, Any]) -> str:
        """The canonical name of an entry's class. Raises UserError where that is not certain."""
        for key in _NAMES:
            if isinstance(said := entry.get(key), str) and (name := canonical(said)):
                return name
        number = identifier(entry.get("category_id"))
        if number is None or not isinstance(number, int):
            why = "it must be an integer, or a category_name text"
            if size := too_large(entry.get("category_id")):
                why = f"{size}, as category_name"
            raise UserError(f"{where}: category_id is {shown(entry.get('category_id'))}; {why}")
        if self._content.names is None and self._own and number in self._ids:
            self._warn()
            return self._ids[number]
        if self._content.names is not None:
            if number not in self._content.names:
                raise UserError(f"{where}: category_id {number} is not among the categories given")
            return canonical(self._content.names[number])
        file = self._content.path
        remedy = (
            f"give each entry a category_name, or write {file}:coco where the ids are COCO's own"
        )
        if not self._own:
            raise UserError(
                f"{where}: category_id {number} has no name, and the data set no ids; {remedy}"
            )
        if self._standard and number in self._coco:
            return self._coco[number]
        ids = ", ".join(f"{number} {name}" for number, name in self._ids.items())
        raise UserError(
            f"{where}: category_id {number} is not in the data set; it has {ids}; {remedy}"
        )

    def _warn(self) -> None:
        if self._warned or self._standard:
            return
        self._warned = True
        ids = ", ".join(f"{number} {name}" for number, name in list(self._ids.items())[:8])
        _log.warning(
            "%s: has ids without names, read as the data set's own (%s); if they are COCO's, write "
            "%s:coco",
            *(self._content.path, ids, self._content.path),
        )
