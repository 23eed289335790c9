"""The classes that a COCO JSON declares, and the ids by which its annotations point to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.data.values import identifier, shown, too_large


@dataclass
class Categories:
    """The classes of a file: the label of each category id, names, and an id per class (None where
    they are no integers)."""

    label_of: dict[int | str, int]
    classes: tuple[str, ...]
    ids: tuple[int, ...] | None


def read_categories(
    path: Path,
    entries: list[Any],
    used: set[int | str | None],
    problems: list[Problem],
    notes: list[Problem],
) -> Categories:
    """The categories that can be classes; ``used`` are those that annotations point to."""
    names: dict[int | str, str] = {}
    parents = [entry.get("supercategory") for entry in entries if isinstance(entry, dict)]
    for index, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        category, name = identifier(entry.get("id")), entry.get("name")
        where = f"categories[{index}]"
        if category is None or not isinstance(name, str) or not canonical(name):
            field, value = ("id", entry.get("id")) if category is None else ("name", name)
            reason = f"has no usable {field!r}: it is {shown(value)}"
            if category is None and (size := too_large(value)):
                reason += f", {size}"
            problems.append(Problem("category", path, where, reason))
        elif category in names:
            where = f"categories[id={shown(category)}]"
            problems.append(Problem("category", path, where, "the id occurs twice"))
        elif category not in used and name in parents and _is_root(entry):
            reason = f"{shown(name)} only groups others and has no annotation: no class for it"
            notes.append(Problem("no class", path, where, reason))
        else:
            names[category] = canonical(name)
    classes = tuple(dict.fromkeys(names.values()))
    label_of = {category: classes.index(name) for category, name in names.items()}
    return Categories(label_of, classes, _id_per_class(names, used, classes))


def _id_per_class(
    names: dict[int | str, str], used: set[int | str | None], classes: tuple[str, ...]
) -> tuple[int, ...] | None:
    """Of several ids of one name, the first that annotations use; None where one is text."""
    ids = {name: category for category, name in reversed(names.items())}
    ids |= {name: category for category, name in reversed(names.items()) if category in used}
    integers = tuple(i for name in classes if isinstance(i := ids[name], int))
    return integers if len(integers) == len(classes) else None


def _is_root(category: dict[str, Any]) -> bool:
    """Whether a category has none above it. Roboflow puts one such before the classes, with the id
    0, to group them."""
    return category.get("supercategory") in (None, "", "none")
