"""Scores of small, medium and large objects, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dmaskrcnn.evaluation.evaluate import evaluate
from dmaskrcnn.evaluation.labelled import TestSet
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.sized_set import SIZES
from dmaskrcnn.evaluation.text import CLASS_COLUMNS, Table, interval


def scores_by_size(
    predictions: Path, test: TestSet, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Scores]:
    """The scores of kept predictions for each of `SIZES`. Arguments and errors as of `evaluate`."""
    return {
        name: evaluate(predictions, test, bootstrap=bootstrap, seed=seed, size=size)
        for name, size in SIZES.items()
    }


def size_table(by_size: Mapping[str, Scores]) -> str:
    """Percent with 95 % intervals: the classes, each at the sizes of which there are objects."""
    first = next(iter(by_size.values()))
    columns = {name: heading for name, heading in CLASS_COLUMNS.items() if name in first.metrics}
    rows = [["class", "size", "objects", *columns.values()]]
    for name in first.objects:
        for size, scores in by_size.items():
            if count := scores.objects[name]:
                values = (interval(scores.metrics.get(f"{c}/{name}")) for c in columns)
                rows.append([name, size, str(count), *values])
    return "by size: small to 32 x 32 px, medium to 96 x 96, large\n\n" + Table(rows).text()
