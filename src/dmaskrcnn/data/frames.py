"""Which pictures of a set belong together: frames of one video, pictures of one camera or place.

Such pictures are not independent of each other. Intervals resample the groups that are named here
(`dmaskrcnn.evaluation.bootstrap`), since other test images would be other videos and other places.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.similar import content_keys, similar_images
from dmaskrcnn.errors import UserError

HOW = (
    "give none, folder, similar, a .csv or .json file (picture, group), or a regular expression "
    r"whose first (…) is the group, such as '(.+)_\d+'"
)


def group_images(data: Dataset, how: str = "") -> NDArray[np.int64]:
    """The group of each picture, ``(n,)``, numbered from 0 in the order met.

    Args:
        data: the pictures.
        how: ``none``: each by itself. ``folder``: those of one folder. ``similar``: those that look
            nearly the same (`similar_images`). A ``.csv`` or ``.json`` file: two columns, or an
            object, from picture (file name, its end of the path, or image id) to group. Anything
            else: a regular expression, searched in the file name (with a ``/`` in it, in the whole
            path), whose first group is the name. Empty: each by itself, but files of the same
            content, under whatever name, together.

    Raises:
        UserError: an expression or a file that cannot be read, or does not tell the group of a
            picture.
    """
    if how == "none":
        return np.arange(len(data))
    if not how:
        return _numbered(content_keys(data.paths))
    if how == "similar":
        return _numbered(similar_images(data.paths).tolist())
    if how == "folder":
        return _numbered(path.resolve().parent for path in data.paths)
    if Path(how).suffix.lower() in (".csv", ".json"):
        return _numbered(_from_file(data, Path(how)))
    return _numbered(_from_names(data, how))


def _numbered(names: Iterable[Hashable]) -> NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _from_names(data: Dataset, pattern: str) -> list[str]:
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise UserError(f"--groups {pattern}: no regular expression ({error}); {HOW}") from error
    if not expression.groups:
        raise UserError(f"--groups {pattern}: has no (…) that would be the group; {HOW}")
    names = []
    for path in data.paths:
        found = expression.search(path.as_posix() if "/" in pattern else path.name)
        if found is None or not found[1]:
            raise UserError(f"--groups {pattern}: finds no group in the name of {path}; {HOW}")
        names.append(found[1])
    return names


def _from_file(data: Dataset, file: Path) -> list[str]:
    groups = _read_groups(file)
    names = []
    for path, image_id in zip(data.paths, data.image_ids, strict=True):
        parts = path.resolve().parts
        # the longest end of the path first, so that folders tell pictures of one name apart
        ends = ["/".join(parts[start:]) for start in range(1, len(parts))]
        known = [groups[key] for key in (*ends, path.stem, str(image_id)) if key in groups]
        if not known:
            raise UserError(
                f"--groups {file}: has no group for {path.name}; name every picture of the test set"
            )
        names.append(known[0])
    return names


def _read_groups(file: Path) -> dict[str, str]:
    """Group by picture, both as text. Raises UserError for a file that is not of that kind."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark
        if file.suffix.lower() == ".json":
            pairs = list(json.loads(text).items())
        else:
            pairs = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except OSError as error:
        raise UserError(f"--groups {file}: cannot be read ({error.strerror}); {HOW}") from error
    except (ValueError, RecursionError, AttributeError, csv.Error) as error:
        raise UserError(f"--groups {file}: not from picture to group ({error}); {HOW}") from error
    groups: dict[str, str] = {}
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2 or not isinstance(pair[1], (str, int)) or isinstance(pair[1], bool):
            raise UserError(
                f"--groups {file}: entry {number} is not a picture and its group, both text: "
                f"{str(pair)[:60]}"
            )
        groups[str(pair[0]).strip().replace("\\", "/").removeprefix("./")] = str(pair[1]).strip()
    return groups
