"""The images that a COCO JSON lists: their files, found where tools put them, and their sizes."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmaskrcnn.data.coco_objects import InvalidEntryError
from dmaskrcnn.data.orientation import Orientation, boxes_frame
from dmaskrcnn.data.picture_names import find_renamed, holdings
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.data.values import identifier, number, shown, too_large
from dmaskrcnn.errors import UserError

_folders: tuple[Path, ...] = ()


def set_image_folders(folders: Sequence[Path]) -> None:
    """Set the folders in which this process looks first for the pictures that a JSON or XML
    names."""
    global _folders  # as Pillow's limit of pixels: an option of the whole program
    _folders = tuple(folders)


def image_folders(folders: Sequence[Path]) -> list[Path]:
    """These and those of `set_image_folders`. Raises UserError for one that is not there."""
    found = list(dict.fromkeys((*folders, *_folders)))
    for folder in found:
        if not folder.is_dir():
            raise UserError(f"--images {folder}: no such folder; name the one with the pictures")
    return found


def split_of(path: Path) -> str:
    """The split that a file is named after: ``instances_val2017.json`` → ``val2017``."""
    return re.sub(
        r"^(instances|person_keypoints|captions|image_info|annotations|coco)[_.-]", "", path.stem
    )


def image_roots(path: Path) -> list[Path]:
    """Folders in which the images of a COCO JSON are looked for, in this order.

    Beside the JSON, in ``images/``, in a folder named like the split (``instances_val2017.json`` →
    ``val2017``), and the same one folder up (COCO's own layout: ``annotations/`` beside
    ``train2017/`` and ``val2017/``).
    """
    split = split_of(path)
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


@dataclass
class Listed:
    """The images of a file that are there, the ids of those that are left out, and the files that
    have another name than is listed."""

    files: list[Path]
    ids: list[int | str]
    sizes: list[tuple[int, int]]
    left_out: set[int | str]
    renamed: dict[str, Path]


def read_images(
    path: Path,
    entries: list[Any],
    problems: list[Problem],
    orientation: Orientation | None,
    folders: Sequence[Path] = (),
) -> Listed:
    """The images of a file; without their sizes where ``orientation`` is None. ``folders`` are
    looked through before the usual ones."""
    folders = image_folders(folders)
    file_of, renamed = _find_images(entries, image_roots(path), folders)
    images: dict[int | str, tuple[Path, tuple[int, int]]] = {}
    left_out: set[int | str] = set()
    missing = ""
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            problems.append(Problem("image entry", path, f"images[{index}]", "is not an object"))
            continue
        image_id, name = identifier(entry.get("id")), entry.get("file_name")
        if image_id is None or not isinstance(name, str) or not name:
            field, value = ("id", entry.get("id")) if image_id is None else ("file_name", name)
            why = (too_large(value) or "not an integer or text") if field == "id" else "not a name"
            reason = f"is {shown(value)}, {why}"
            problems.append(Problem("image entry", path, f"images[{index}].{field}", reason))
            if image_id is not None:
                left_out.add(image_id)
            continue
        where = f"images[id={shown(image_id)}]"
        if image_id in images:
            problems.append(Problem("duplicate id", path, where, "the id occurs twice"))
            continue
        try:
            stated = None if orientation is None else _read_size(entry)
            file = file_of[name]
            if isinstance(file, InvalidEntryError):
                missing = missing or (name if file.kind == "missing image" else "")
                raise file
            size = (0, 0) if orientation is None else boxes_frame(file, stated, orientation)
            images[image_id] = (file, size)
        except InvalidEntryError as wrong:
            problems.append(Problem(wrong.kind, path, where + wrong.field, wrong.reason))
            left_out.add(image_id)
        except UserError as error:
            problems.append(Problem("unreadable", path, where, str(error)))
            left_out.add(image_id)
    if not images:
        if missing:
            places = ", ".join(map(str, [*folders, *image_roots(path)][:4]))
            there = f"{holdings(folders)}; correct the names, or " if folders else ""
            raise UserError(
                f"{path}: none of its {len(left_out)} images found, such as {shown(missing)}; "
                f"looked in {places}, …; {there}name the folder of the pictures with --images"
            )
        if problems:
            raise UserError(f"{problems[0]}; correct it (no image of the file is usable)")
        raise UserError(f"{path}: images: no image is listed; nothing to do")
    files, sizes = zip(*images.values(), strict=True)
    left_out -= images.keys()
    return Listed(list(files), list(images), list(sizes), left_out, renamed)


def _find_images(
    entries: list[Any], roots: list[Path], folders: Sequence[Path]
) -> tuple[dict[str, Path | InvalidEntryError], dict[str, Path]]:
    """The file of each name in the entries, or why there is none; and those of another name."""
    named = (entry.get("file_name") for entry in entries if isinstance(entry, dict))
    found: dict[str, Path | InvalidEntryError] = {}
    missing: list[str] = []
    for name in dict.fromkeys(name for name in named if isinstance(name, str)):
        try:
            if file := find_image(name, roots, folders):
                found[name] = file
            else:
                missing.append(name)
        except InvalidEntryError as wrong:
            found[name] = wrong
    if not missing:  # so mostly: nothing is listed
        return found, {}
    others = (file for file in found.values() if isinstance(file, Path))
    meant = find_missing(missing, folders, others, "JSON")
    found |= meant
    return found, {name: file for name, file in meant.items() if isinstance(file, Path)}


def find_missing(
    names: Sequence[str], folders: Sequence[Path], others: Iterable[Path], beside: str
) -> dict[str, Path | InvalidEntryError]:
    """The files that are meant by names that `find_image` does not find, or why there is none.

    Args:
        names: all of these.
        folders: as of `image_folders`: without any nobody guesses.
        others: the files of the other images.
        beside: which kind of file lists the names.
    """
    reason = f"is neither beside the {beside} nor in images/ there"
    reason += f"; {holdings(folders)}" if folders else ""
    meant = find_renamed(names, folders, others) if folders else {}
    found: dict[str, Path | InvalidEntryError] = {}
    for name in names:
        file = meant.get(name)
        if file is None:
            file = InvalidEntryError("missing image", ".file_name", f"{shown(name)} {reason}")
        elif isinstance(file, str):
            file = InvalidEntryError("ambiguous image", ".file_name", file)
        found[name] = file
    return found


def renamed_note(path: Path, where: str, renamed: Mapping[str, Path]) -> Problem:
    """Of the files that have another name than is listed, of which there are some."""
    name, file = next(iter(renamed.items()))
    text = f"found by another name: {len(renamed)}, such as {shown(name)} as {file}"
    return Problem("other name", path, where, text)


def find_image(name: str, roots: list[Path], folders: Sequence[Path]) -> Path | None:
    """The file of this name in the first of the roots that has it, which then becomes the first:
    where one was, the next will be. A name of Windows is tried with its folders, too.

    Args:
        name: as the annotations have it.
        roots: folders, which are reordered.
        folders: others that come before them, as of `image_folders`.

    Raises:
        InvalidEntryError: several of the ``folders`` have it, and nobody knows which is meant.
    """
    there = (_find_in(name, [folder]) for folder in folders)
    found = list(dict.fromkeys(file for file in there if file))  # a whole path is one everywhere
    if len(found) > 1:
        text = f"{shown(name)} is in {found[0].parent} and in {found[1].parent}: name one --images"
        raise InvalidEntryError("ambiguous image", ".file_name", text)
    return found[0] if found else _find_in(name, roots)


def _find_in(name: str, roots: list[Path]) -> Path | None:
    for spelt in dict.fromkeys((name, name.replace("\\", "/"))):
        for root in roots:
            try:
                found = stat.S_ISREG(os.stat(file := os.path.join(root, spelt)).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError):  # too long, or no name that a file system takes
                return None
            if found:
                if root is not roots[0]:
                    roots.sort(key=lambda other, root=root: other != root)
                return Path(file)
    return None


def _read_size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """``(height, width)`` as stated; None where nothing is. Raises InvalidEntryError."""
    sides = []
    for field in ("height", "width"):
        value = entry.get(field)
        side = 0.0 if value is None else number(value)
        if side is None or not 0 <= side < 1 << 24 or side != int(side):
            raise InvalidEntryError(
                "size", f".{field}", f"is {shown(value)}, not a number of pixels"
            )
        sides.append(int(side))
    return (sides[0], sides[1]) if all(sides) else None
