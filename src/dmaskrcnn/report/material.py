"""What a report is about: the methods, their runs, and how they score. Everything is checked before
any long work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.compare.groups import group_runs
from dmaskrcnn.config.train import read_yaml
from dmaskrcnn.data import Dataset, open_images
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import predictions
from dmaskrcnn.evaluation.results_json import Results, load_results, save_results
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.evaluation.test_set import open_test_set
from dmaskrcnn.training.log import read_metrics


@dataclass(frozen=True)
class Method:
    """One way to train a detector.

    Attributes:
        name: as shown.
        runs: run folders, or one COCO results JSON; several are seeds of the same method.
    """

    name: str
    runs: tuple[Path, ...]

    @cached_property
    def curves(self) -> list[list[dict[str, float]]]:
        """The rows of each run's ``metrics.csv``."""
        return [
            read_metrics(run / "metrics.csv")
            for run in self.runs
            if (run / "metrics.csv").is_file()
        ]

    @property
    def model(self) -> Path | None:
        """The first run folder with a detector in it."""
        return next((run for run in self.runs if (run / "model.safetensors").is_file()), None)


class TestSet:
    """The labelled test set with the scored classes, and what the rows found in it.

    Attributes:
        data: the test set.
    """

    __test__ = False  # pytest: no tests in here

    def __init__(self, comparison: Comparison) -> None:
        self.data, self._ids = open_test_set(
            comparison.data, list(comparison.rows[0].scores.objects)
        )

    def found(self, row: Row, seed: int = 0) -> Results:
        """The detections of the row's run number ``seed``, one per test image."""
        return load_results(row.predictions[seed], self.data.image_ids, self._ids)


@dataclass(frozen=True)
class Material:
    """All that a report shows.

    Attributes:
        methods: in the order of the table.
        comparison: the scored rows; None where nothing was scored.
        test: None where nothing was scored, or where test set or predictions are gone since.
        source: clear images, without labels; None where they are not at hand.
        target: hazy images, without labels; None where they are not at hand.
        device: where detectors run.
    """

    methods: list[Method]
    comparison: Comparison | None
    test: TestSet | None
    source: Dataset | None
    target: Dataset | None
    device: str = "auto"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The scored rows; the first is the one that the others are compared with."""
        return self.comparison.rows if self.comparison else ()

    def method_of(self, row: Row) -> int:
        """The index of the row's method."""
        return next(index for index, method in enumerate(self.methods) if method.runs == row.runs)


def check_runs(runs: Sequence[Path], scored: bool) -> None:
    """Raises UserError for a run that is not there, a folder that is none of a run, and a JSON
    without a test set."""
    for run in runs:
        if not run.exists():
            raise UserError(
                f"{run}: no such run folder; give a training run, a comparison or a "
                "COCO results JSON"
            )
        logged = (run / "metrics.csv").is_file()
        # nothing was trained, then nothing is logged
        if run.is_dir() and not logged and not (run / "model.json").is_file():
            raise UserError(
                f"{run}: holds no metrics.csv; give the folder of a training run or of a comparison"
            )
        if run.is_file() and run.suffix != ".json":
            raise UserError(f"{run}: is neither a run folder nor a COCO results JSON")
        if run.is_file() and not scored:
            raise UserError(
                f"{run}: is a results JSON, which shows nothing without its test set; give --data"
            )
        if logged:
            read_metrics(run / "metrics.csv")  # a damaged file shows now


def gather(
    runs: Sequence[Path],
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
    methods: dict[tuple[Path, ...], str] = {}
    for row in comparison.rows if comparison else ():
        if row.dehaze == "none" or row.runs not in methods:
            methods[row.runs] = row.name if row.dehaze == "none" else row.name.rpartition(" + ")[2]
    known = {run.resolve() for group in methods for run in group}
    methods |= {
        group.runs: group.name
        for group in group_runs([run for run in runs if run.resolve() not in known])
    }
    folders = [run for group in methods for run in group if run.is_dir()]
    source = _still_there(folders, "source") if source is None else source
    target = _still_there(folders, "target") if target is None else target
    test = None
    if comparison and all(
        p.exists()
        for p in (*comparison.data, *(p for row in comparison.rows for p in row.predictions))
    ):
        test = TestSet(comparison)
    return Material(
        [Method(name, group) for group, name in methods.items()],
        comparison,
        test,
        source,
        target,
        device,
    )


def score_runs(
    runs: Sequence[Path], data: Sequence[Path], classes: Sequence[str], folder: Path, device: str
) -> Comparison:
    """Run the detectors over the test set and score them; seeds of one method share a row.

    Args:
        runs: run folders or COCO results JSON.
        data: the labelled test set.
        classes: those to score.
        folder: where to keep the predictions.
        device: where detectors run.

    Raises:
        UserError: a run without a detector, or a test set without labels.
    """
    truth, ids = open_test_set(data, classes)
    rows = []
    for number, group in enumerate(group_runs(runs)):
        files, scores = [], []
        for seed, run in enumerate(group.runs):
            file = run
            if run.suffix != ".json":
                detector = Detector.load(run).to(resolve_device(device)).set_precision()
                file = folder / f"{number}-{seed}.json"
                save_results(
                    file, truth.image_ids, predictions(detector, truth, progress=True), ids
                )
            files.append(file)
            scores.append(score(truth, load_results(file, truth.image_ids, ids)))
        rows.append(Row(group.name, group.runs, "none", tuple(files), over_seeds(scores), math.nan))
    return Comparison(tuple(rows), tuple(data), {}, folder)


def _still_there(folders: Sequence[Path], key: str) -> Dataset | None:
    """The images that the first of the runs was trained on, of those whose data are still there and
    whole."""
    for folder in folders:
        if not (folder / "config.yaml").is_file():
            continue
        config = read_yaml(folder / "config.yaml")
        paths = [Path(str(path)) for path in config.get(key) or ()]
        if paths and all(path.exists() for path in paths):
            with suppress(UserError):
                return open_images(*paths, drop_invalid=bool(config.get("drop_invalid")))
    return None
