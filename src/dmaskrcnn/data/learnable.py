"""What there is to learn in labelled images: said per class, before a training spends hours on
nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.objects import ObjectTable
from dmaskrcnn.data.problems import NOT_READ, count_kinds


def count_objects(classes: tuple[str, ...], objects: ObjectTable) -> dict[str, dict[str, int]]:
    """Per class the numbers of ``boxes``, ``images``, ``masks``, ``crowd``, ``difficult``, and of
    those ``to learn``: all but crowd regions."""
    owner = np.repeat(np.arange(len(objects)), np.diff(objects.first))
    counts = {}
    for label, name in enumerate(classes):
        of_class = objects.labels == label
        counts[name] = {
            "boxes": int(of_class.sum()),
            "images": len(np.unique(owner[of_class])),
            "masks": int(objects.has_mask[of_class].sum()),
            "crowd": int(objects.crowd[of_class].sum()),
            "difficult": int(objects.difficult[of_class].sum()),
            "to learn": int((of_class & ~objects.crowd).sum()),
        }
    return counts


def nothing_to_learn(counts: dict[str, dict[str, int]]) -> list[tuple[str, str]]:
    """The classes without anything to learn, and why."""
    return [
        (
            name,
            f"all its {count['crowd']} objects are crowd regions (iscrowd 1), which are neither "
            "object nor background"
            if count["crowd"]
            else "no object of it",
        )
        for name, count in counts.items()
        if not count["to learn"]
    ]


@dataclass(frozen=True)
class Learnable:
    """What labelled images teach, in words.

    Attributes:
        per_class: such as ``"car 12 (3 with masks)"``, for each class that has objects to learn.
        warnings: of classes that have none, or that only some of the paths label; of what the
            readers noted.
    """

    per_class: list[str]
    warnings: list[str]


def describe_learnable(data: Dataset) -> Learnable:
    """What there is to learn in labelled images.

    Raises:
        ValueError: the data set is unlabelled.
    """
    objects = data.objects
    if objects is None:
        raise ValueError("a data set without labels")
    counts = count_objects(data.classes, objects)
    masks = objects.has_mask & ~objects.crowd
    per_class = [
        f"{name} {count['to learn']} ({int(masks[objects.labels == label].sum())} with masks)"
        for label, (name, count) in enumerate(counts.items())
        if count["to learn"]
    ]
    missing: dict[str, list[str]] = {}
    for name, why in nothing_to_learn(counts):
        missing.setdefault(why, []).append(name)
    warnings = [f"nothing to learn of {', '.join(names)}: {why}" for why, names in missing.items()]
    warnings += _labelled_in_part(data, objects)
    notes = [note for note in data.notes if note.kind != NOT_READ]  # of which opening them told
    if notes:
        where = dict.fromkeys(str(path) for path, _ in data.origins)
        warnings.append(f"worth a look ({count_kinds(notes)}): dmaskrcnn inspect {' '.join(where)}")
    return Learnable(per_class, warnings)


def _labelled_in_part(data: Dataset, objects: ObjectTable) -> list[str]:
    """A line per path that has no object of classes which others have."""
    warnings, first = [], 0
    everywhere = set(objects.labels.tolist())
    for path, images in data.origins:
        rows = slice(int(objects.first[first]), int(objects.first[first + images]))
        first += images
        lacking = sorted(everywhere - set(objects.labels[rows].tolist()))
        if lacking:
            names = ", ".join(data.classes[label] for label in lacking)
            warnings.append(
                f"{path} ({images} images) has no {names}, which other sources have: where its "
                "pictures show them, they are learnt as background"
            )
    return warnings
