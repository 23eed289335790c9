"""The labelled test set, with the classes that are to be scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dmaskrcnn.data import Dataset, canonical, open_dataset
from dmaskrcnn.detector.weights import read_description
from dmaskrcnn.errors import UserError


def open_test_set(
    data: str | Path | Sequence[str | Path],
    classes: Sequence[str] = (),
    known: Sequence[str] | None = None,
) -> tuple[Dataset, dict[str, int]]:
    """A labelled data set with the ``classes`` asked for, or else those that the detector
    (``known``) shares with it.

    Returns:
        The data set, and the category ids of all classes in it: predictions are written and read
        with these, so that they do not depend on the classes scored.
    """
    paths = [data] if isinstance(data, (str, Path)) else list(data)
    names = None if known is None else {canonical(n) for n in known}
    if names is not None and (unknown := [c for c in classes if canonical(c) not in names]):
        raise UserError(
            f"--classes {unknown[0]}: the detector does not know it; it knows "
            f"{', '.join(known or ())}"
        )
    truth = open_dataset(*paths)
    if not truth.labelled:
        raise UserError(
            f"--data {paths[0]}: holds images but no labels to score against; `dmaskrcnn predict` "
            "draws without labels"
        )
    ids = category_ids_by_name(truth)
    chosen = list(classes) or [c for c in truth.classes if names is None or c in names]
    if not chosen:
        raise UserError(
            f"--data {paths[0]}: has no class that the detector knows "
            f"({', '.join(truth.classes[:8]) or 'none at all'} against "
            f"{', '.join(sorted(names or ())[:8]) or 'none'})"
        )
    return (truth if chosen == list(truth.classes) else open_dataset(*paths, classes=chosen)), ids


def classes_to_score(
    runs: Sequence[Path], data: Sequence[Path], classes: Sequence[str] = ()
) -> tuple[str, ...]:
    """The classes asked for, or else those of the test set that every detector among ``runs``
    knows: the same for all runs.

    Raises:
        UserError: before any work, for a run that is not there, or classes that a run or the test
        set does not know.
    """
    shared: list[str] | None = None
    for run in runs:
        if run.suffix == ".json":
            if not run.is_file():
                raise UserError(f"{run}: no such file; give a run folder or a COCO results JSON")
            continue
        known = [canonical(c) for c in read_description(run)[0]]
        if unknown := [c for c in classes if canonical(c) not in known]:
            raise UserError(
                f"--classes {unknown[0]}: {run} does not know it; it knows {', '.join(known)}"
            )
        if shared is not None and not set(known) & set(shared):
            raise UserError(
                f"{run}: has no class in common with the runs before it: "
                f"{', '.join(known)}; {', '.join(shared)}"
            )
        shared = [c for c in known if shared is None or c in shared]
    return open_test_set(data, classes, shared)[0].classes


def category_ids_by_name(data: Dataset) -> dict[str, int]:
    """The category id of each class."""
    return dict(zip(data.classes, data.category_ids, strict=True))
