"""What a report is about: the runs, and how they score. Everything is checked before any long
work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.compare.groups import RunGroup, group_runs
from dmaskrcnn.data import Dataset
from dmaskrcnn.data.splits import without_split
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import TestSet, images_of, open_test_set
from dmaskrcnn.run import Run


@dataclass(frozen=True)
class Material:
    """All that a report shows.

    Attributes:
        groups: the runs, seeds of one method together, in the order of the table.
        comparison: the scored rows; None where nothing was scored.
        test: None where nothing was scored, or where test set or predictions are gone since.
        source: clear images, without labels; None where they are not at hand.
        target: hazy images, without labels; None where they are not at hand.
        device: where detectors run.
    """

    groups: list[RunGroup]
    comparison: Comparison | None
    test: TestSet | None
    source: Dataset | None
    target: Dataset | None
    device: str = "auto"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The scored rows; the first is the one that the others are compared with."""
        return self.comparison.rows if self.comparison else ()

    def group_of(self, row: Row) -> int:
        """The index of the row's group."""
        return self.groups.index(row.group)


def check_runs(runs: Sequence[Run], scored: bool) -> None:
    """Raises UserError for a run that is not there, a folder that is none of a run, and a JSON
    without a test set."""
    for run in runs:
        if not without_split(run.path)[0].exists():
            known = "a training run, a comparison or a COCO results JSON"
            raise UserError(f"{run}: no such run folder; give {known}")
        # nothing was trained, then nothing is logged
        if run.path.is_dir() and not run.is_logged and not run.has_description:
            wanted = "give the folder of a training run or of a comparison"
            raise UserError(f"{run}: holds no metrics.csv; {wanted}")
        if run.path.is_file() and not run.is_results:
            raise UserError(f"{run}: is neither a run folder nor a COCO results JSON")
        if run.path.is_file() and not scored:
            reason = "is a results JSON, which shows nothing without its test set"
            raise UserError(f"{run}: {reason}; give --data")
        _ = run.metrics  # a damaged file shows now


def gather(
    runs: Sequence[Run],
    comparison: Comparison | None,
    source: Dataset | None = None,
    target: Dataset | None = None,
    device: str = "auto",
) -> Material:
    """The material of the runs and of the comparison, if there is one.

    Images of source and target are those given, or else those of the first run whose configuration
    names some that are still there. Only their pictures are read, whatever lies beside them.

    Raises:
        UserError: a damaged ``config.yaml``, or damaged predictions of a comparison.
    """
    rows: tuple[Row, ...] = comparison.rows if comparison else ()
    groups = list(dict.fromkeys(row.group for row in rows))
    known = {run.address.resolve() for group in groups for run in group.runs}
    groups += group_runs([run for run in runs if run.address.resolve() not in known])
    trained = [run for group in groups for run in group.runs if not run.is_results]
    test = comparison.test if comparison else None
    if comparison and test is None:
        files = [*comparison.data, *(path for row in rows for path in row.predictions)]
        if all(without_split(path)[0].exists() for path in files):
            test = open_test_set(
                comparison.data,
                list(comparison.rows[0].scores.objects),
                orientation=comparison.orientation,
            )
    source = _still_there(trained, "source") if source is None else source
    target = _still_there(trained, "target") if target is None else target
    return Material(groups, comparison, test, source, target, device)


def _still_there(runs: Sequence[Run], key: str) -> Dataset | None:
    """The images of the first of the runs whose data are still there and whole."""
    return next((data for run in runs if (data := images_of(run, key)) is not None), None)
