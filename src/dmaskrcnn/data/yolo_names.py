"""What a YOLO data set calls its classes: in a ``data.yaml``, or a ``classes.txt`` with a name a
line."""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import Any

from dmaskrcnn.data.values import shown
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import load_yaml, read_bytes

YAML = (".yaml", ".yml")
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_ABOVE = 3  # folders above the pictures in which names are looked for: DIR/images/train/a.jpg
_LOOKED_AT = 20


def is_yolo_yaml(path: Path) -> bool:
    """Whether a file is a YAML that names classes and splits, told from its beginning."""
    if path.suffix.lower() not in YAML or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            text = file.read(1 << 16).decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    return re.search(r"^(names|nc)\s*:", text, re.MULTILINE) is not None


def yolo_yaml(folder: Path) -> Path | None:
    """``data.yaml`` of a folder, or the one other YAML in it that names classes."""
    found = [folder / "data.yaml"] if is_yolo_yaml(folder / "data.yaml") else []
    if not found:
        files = islice((f for f in sorted(folder.glob("*.y*ml"))), _LOOKED_AT)
        found = [file for file in files if is_yolo_yaml(file)]
    return found[0] if len(found) == 1 else None


def find_names(folder: Path) -> Path | None:
    """The file that names the classes of a folder of pictures: there, or above."""
    folder = Path(os.path.abspath(folder))
    for place in (folder, *list(folder.parents)[:_ABOVE]):
        if (found := yolo_yaml(place)) is not None:
            return found
        for name in (*NAME_FILES, *(f"labels/{name}" for name in NAME_FILES)):
            if (place / name).is_file():
                return place / name
    return None


def read_names(file: Path) -> tuple[dict[int, str], int]:
    """Per number the name of the class, and the numbers that keypoints take in a line.

    Raises:
        UserError: naming the file and the field that is wrong.
    """
    if file.suffix.lower() in YAML:
        values = read_data(file)
        return class_names(file, values), keypoint_numbers(file, values.get("kpt_shape"))
    lines = [line.strip() for line in read_text(file).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or "" in lines:
        raise UserError(
            f"{file}: line {lines.index('') + 1 if lines else 1}: is empty; name a class"
        )
    return dict(enumerate(lines)), 0


def read_data(path: Path) -> dict[str, Any]:
    """The fields of a ``data.yaml``. Raises UserError."""
    try:
        values = load_yaml(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: not a readable YAML file ({reason}); correct it") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no fields; a data.yaml has train, val and names")
    return values


def class_names(path: Path, values: dict[str, Any]) -> dict[int, str]:
    """Per number the name of the class. Raises UserError naming the field that is wrong."""
    names, count = values.get("names"), values.get("nc")
    entries = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{path}: names: is {shown(names)}, not a list of class names; write them")
    for number, name in entries.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise UserError(f"{path}: names: {shown(number)} is no number of a class")
        if not isinstance(name, str) or not name.strip():
            raise UserError(
                f"{path}: names: {number}: is {shown(name)}, not text; put the name in quotes"
            )
    if count is not None and count != len(entries):
        raise UserError(f"{path}: nc: is {shown(count)}, but there are {len(entries)} names")
    return dict(sorted(entries.items()))


def keypoint_numbers(path: Path, shape: Any) -> int:
    """Numbers per object that are keypoints; 0 without ``kpt_shape``. Raises UserError."""
    if shape is None:
        return 0
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 10_000 for n in shape):
        raise UserError(f"{path}: kpt_shape: is {shown(shape)}, not [keypoints, numbers of each]")
    return shape[0] * (shape[1] if len(shape) > 1 else 2)


def read_text(file: Path) -> str:
    """A text file, without the mark that Windows' editors begin it with. Raises UserError."""
    try:
        return read_bytes(file).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: cannot read the file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is no UTF-8 text; correct it") from error
