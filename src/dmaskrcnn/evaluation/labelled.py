"""The labelled test set: what is scored, which pictures belong together, which were trained on."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data import (
    Dataset,
    canonical,
    group_images,
    look_alikes,
    open_dataset,
    open_images,
    same_images,
    similar_images,
)
from dmaskrcnn.data.formats import unnamed_splits
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.splits import without_split
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.odd_results import check_classes
from dmaskrcnn.evaluation.results_json import Results, load_results
from dmaskrcnn.run import Run

_log = logging.getLogger(__name__)
_SMALL = 4 << 20  # bytes of a file of results, which take six times as much once they are read


@dataclass(frozen=True)
class TestSet:
    """Labelled images.

    Attributes:
        data: the images, with the objects of the classes to score.
        category_ids: of all classes in the files, whether they are scored or not: predictions are
            written and read with these, so that they do not depend on the classes scored.
        grouping: which images belong together, as of `group_images`.
        own_ids: whether the files give these ids, as of `Dataset`.
    """

    __test__ = False  # pytest: no tests in here

    data: Dataset
    category_ids: dict[str, int]
    grouping: str = ""
    own_ids: bool = True

    @classmethod
    def of(cls, data: Dataset, grouping: str = "") -> TestSet:
        """An open data set, all of whose classes are scored."""
        ids = dict(zip(data.classes, data.category_ids, strict=True))
        return cls(data, ids, grouping, data.own_ids)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The group of each image, ``(n,)``. Where none are asked for, pictures that look as if
        they were not independent are told of, once."""
        groups = group_images(self.data, self.grouping)
        count = len(np.unique(groups))
        if count == 1 < len(groups):
            _log.warning(
                "--groups %s: all test pictures are of one group, so there are no intervals",
                self.grouping,
            )
        if self.grouping:
            return groups
        if same := _in_company(groups):
            _log.warning(
                "%d of %d test pictures have the same content as another (such as %s): these are "
                "drawn together; --groups none treats them as independent",
                *(len(same), len(groups), self.data.paths[same[0]].name),
            )
        first = similar_images(self.data.paths)
        if near := sorted(set(_in_company(first)) - set(same)):
            one, other = (self.data.paths[i].name for i in (near[-1], first[near[-1]]))
            _log.warning(
                "%d of %d test pictures are nearly the same as another (such as %s and %s): they "
                "are not independent, and the 95 %% intervals are too narrow; say what belongs "
                "together with --groups (folder, similar, or a pattern of the file name)",
                *(len(near), len(groups), other, one),
            )
        return groups

    def results(self, file: str | os.PathLike[str]) -> Results:
        """The detections of a file, one per image. Forms and errors as of `load_results`. Those of
        small files are kept, for checks, scores, curves and pictures of a report; of the large ones
        the last, which was checked and is to be scored."""
        key = None
        with suppress(OSError):  # "file.json:coco" is no file
            found = os.stat(file)
            key = (os.fspath(file), found.st_mtime_ns, found.st_size)
        if key in self._kept:
            return self._kept[key]
        for large in [one for one in self._kept if one[2] > _SMALL]:  # before the next is there
            del self._kept[large]
        data, ids = self.data, self.category_ids
        sizes = [data.size(image) for image in range(len(data))]
        results = load_results(file, data.image_ids, ids, sizes, data.paths, self.own_ids)
        if key is not None:
            self._kept[key] = results
        return results

    @cached_property
    def _kept(self) -> dict[tuple[str, int, int], Results]:
        return {}


def open_test_set(
    data: str | Path | Sequence[str | Path],
    classes: Sequence[str] = (),
    known: Sequence[str] | None = None,
    groups: str = "",
    orientation: Orientation = "auto",
) -> TestSet:
    """A labelled data set with the ``classes`` asked for, or else those that the detector
    (``known``) shares with it, its ``groups`` as of `group_images`, and the ``orientation`` of its
    boxes as of `open_dataset`.

    Raises:
        UserError: there are no such classes, no labels, a picture that is listed twice, or groups
        that cannot be made.
    """
    paths = [data] if isinstance(data, (str, Path)) else list(data)
    names = None if known is None else {canonical(n) for n in known}
    if names is not None and (unknown := [c for c in classes if canonical(c) not in names]):
        raise UserError(
            f"--classes {unknown[0]}: the detector does not know it; it knows "
            f"{', '.join(known or ())}"
        )
    _check_splits(paths)
    truth = open_dataset(*paths, drop_invalid=None, orientation=orientation)
    if not truth.labelled:
        raise UserError(
            f"{paths[0]}: holds images but no labels to score against; `dmaskrcnn predict` "
            "draws without labels"
        )
    _check_once(truth)
    chosen = list(classes) or [c for c in truth.classes if names is None or c in names]
    if not chosen:
        raise UserError(
            f"{paths[0]}: has no class that the detector knows "
            f"({', '.join(truth.classes[:8]) or 'none at all'} against "
            f"{', '.join(sorted(names or ())[:8]) or 'none'})"
        )
    test = TestSet.of(truth, groups)
    if chosen != list(truth.classes):
        test = replace(test, data=truth.choose(chosen))
    _check_objects(test.data, paths[0])
    if groups not in ("", "similar"):  # a mistake shows now; looking at pictures can wait
        _ = test.groups
    return test


def _check_splits(paths: Sequence[str | Path]) -> None:
    """Raises UserError for a path of which nothing says which split is to be scored on."""
    for path in paths:
        if splits := unnamed_splits(Path(path)):
            raise UserError(
                f"{path}: has the splits {', '.join(splits)}; name the one to score on: "
                f"{path}:{splits[-1]}"
            )


def _check_once(truth: Dataset) -> None:
    """Raises UserError for a picture that is listed twice: its objects may stand with either."""
    seen: dict[str, int | str] = {}
    for path, image_id in zip(truth.paths, truth.image_ids, strict=True):
        before = seen.setdefault(os.path.realpath(path), image_id)
        if before != image_id:
            raise UserError(
                f"{path}: is in the test set twice, with the ids {before!r} and {image_id!r}, and "
                "would count twice; list it once, with all its objects"
            )


def _check_objects(data: Dataset, path: str | Path) -> None:
    """Raise UserError where no score would mean anything."""
    if data.objects is not None and data.objects.crowd.all():
        raise UserError(
            f"{path}: nothing to score: no object of {', '.join(data.classes[:8])} that is "
            "no crowd region (iscrowd 1)"
        )


def open_shared_test_set(
    runs: Sequence[Run],
    data: Sequence[Path],
    classes: Sequence[str] = (),
    groups: str = "",
    orientation: Orientation = "auto",
) -> TestSet:
    """The test set on which all runs can be scored: with the classes asked for, or else those that
    every detector among them knows. Says where a run was trained on some of its pictures.

    Raises:
        UserError: before any work, for runs or classes that are not there, or bad predictions.
    """
    shared: list[str] | None = None
    for run in runs:
        if run.is_results:
            if not without_split(run.path)[0].is_file():
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
    test = open_test_set(data, classes, shared, groups, orientation)
    for path in (run.path for run in runs if run.is_results):
        check_classes(path, test.results(path).found, test.category_ids)
    warn_if_trained_on(runs, test.data)
    return test


def warn_if_trained_on(runs: Sequence[Run], test: Dataset) -> None:
    """Say which runs have seen pictures of the test set, as far as their data are still there."""
    found: dict[tuple[Path, ...], Overlap | None] = {}  # runs of a comparison share their data
    for run in runs:
        for key in ("source", "target"):
            data = None if run.is_results else images_of(run, key)
            if data is None:
                continue
            paths = tuple(data.paths)
            if paths not in found:
                found[paths] = overlap(data, test)
            if shared := found[paths]:
                _log.warning("%s", shared.said(f"--{key} of {run}"))


@dataclass(frozen=True)
class Overlap:
    """Pictures that a test set shares with what was trained on, or that nearly are such.

    Attributes:
        pairs: ``(path there, path in the test set)``, at least one.
        same: whether they are the same to the byte.
        of: pictures in the test set.
    """

    pairs: list[tuple[str, str]]
    same: bool
    of: int

    def said(self, name: str) -> str:
        """A sentence; ``name`` is that of what was trained on."""
        there, here = self.pairs[0]
        how = (
            f"are also in {name} ({here} is {there}): the two share images"
            if self.same
            else f"look nearly the same as pictures of {name} ({here} as {there})"
        )
        return (
            f"{len(self.pairs)} of {self.of} test pictures {how}, and the scores say little of "
            "pictures that were not trained on"
        )


def overlap(trained: Dataset, test: Dataset) -> Overlap | None:
    """What the two share; None where that is nothing. Looks are compared only where no content is
    the same."""
    if same := same_images(trained, test):
        return Overlap(same, True, len(test))
    alike = look_alikes(trained, test)
    return Overlap(alike, False, len(test)) if alike else None


def images_of(run: Run, key: str) -> Dataset | None:
    """The images that a run was trained on, without labels: of its ``source`` or its ``target``.
    None where they are not there any more, or not whole."""
    config = run.config
    paths = [Path(str(path)) for path in config.get(key) or ()]
    folders = [Path(str(folder)) for folder in config.get("images") or ()]
    if paths:
        with suppress(UserError):
            drop_invalid = bool(config.get("drop_invalid"))
            return open_images(*paths, drop_invalid=drop_invalid, folders=folders)
    return None


def _in_company(groups: NDArray[np.int64]) -> list[int]:
    """The images whose group has others in it."""
    sizes = Counter(groups.tolist())
    return [image for image, group in enumerate(groups.tolist()) if sizes[group] > 1]
