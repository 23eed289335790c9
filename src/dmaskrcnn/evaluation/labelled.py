"""The labelled test set, with the classes that are to be scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dmaskrcnn.data import Dataset, canonical, open_dataset
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import Results, load_results
from dmaskrcnn.run import Run


@dataclass(frozen=True)
class TestSet:
    """Labelled images.

    Attributes:
        data: the images, with the objects of the classes to score.
        category_ids: of all classes in the files, whether they are scored or not: predictions are
            written and read with these, so that they do not depend on the classes scored.
    """

    __test__ = False  # pytest: no tests in here

    data: Dataset
    category_ids: dict[str, int]

    @classmethod
    def of(cls, data: Dataset) -> TestSet:
        """An open data set, all of whose classes are scored."""
        return cls(data, dict(zip(data.classes, data.category_ids, strict=True)))

    def results(self, file: str | os.PathLike[str]) -> Results:
        """The detections of a COCO results JSON, one per image. Errors as of `load_results`."""
        sizes = [self.data.size(image) for image in range(len(self.data))]
        return load_results(file, self.data.image_ids, self.category_ids, sizes=sizes)


def open_test_set(
    data: str | Path | Sequence[str | Path],
    classes: Sequence[str] = (),
    known: Sequence[str] | None = None,
) -> TestSet:
    """A labelled data set with the ``classes`` asked for, or else those that the detector
    (``known``) shares with it. Raises UserError where there are none of either, or no labels."""
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
    chosen = list(classes) or [c for c in truth.classes if names is None or c in names]
    if not chosen:
        raise UserError(
            f"--data {paths[0]}: has no class that the detector knows "
            f"({', '.join(truth.classes[:8]) or 'none at all'} against "
            f"{', '.join(sorted(names or ())[:8]) or 'none'})"
        )
    whole = TestSet.of(truth)
    if chosen == list(truth.classes):
        return whole
    return TestSet(open_dataset(*paths, classes=chosen), whole.category_ids)


def open_shared_test_set(
    runs: Sequence[Run], data: Sequence[Path], classes: Sequence[str] = ()
) -> TestSet:
    """The test set on which all runs can be scored: with the classes asked for, or else those that
    every detector among them knows.

    Raises:
        UserError: before any work, for a run that is not there, or classes that a run or the test
        set does not know.
    """
    shared: list[str] | None = None
    for run in runs:
        if run.is_results:
            if not run.path.is_file():
                raise UserError(f"{run}: no such file; give a run folder or a COCO results JSON")
            continue
        known = [canonical(c) for c in run.classes]
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
    return open_test_set(data, classes, shared)
