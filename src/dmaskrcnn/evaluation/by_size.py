"""Scores of small, medium and large objects, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dmaskrcnn.evaluation.evaluate import evaluate
from dmaskrcnn.evaluation.labelled import TestSet
from dmaskrcnn.evaluation.scores import Scores, paired_difference
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


def size_table(by_size: Mapping[str, Scores], first: Mapping[str, Scores] | None = None) -> str:
    """Percent with 95 % intervals: the classes, each at the sizes of which there are objects.

    Args:
        by_size: as of `scores_by_size`.
        first: of another run on the same images; then the paired differences to it, in points.

    Raises:
        ValueError: as `paired_difference`.
    """
    metrics = {
        size: paired_difference(first[size], scores) if first else scores.metrics
        for size, scores in by_size.items()
    }
    # of a size that no object has there are no masks to score
    columns = {
        c: head for c, head in CLASS_COLUMNS.items() if any(c in m for m in metrics.values())
    }
    lines = []
    for size, scores in by_size.items():
        for name, count in scores.objects.items():
            values = (interval(metrics[size].get(f"{c}/{name}")) for c in columns)
            lines += [[name, size, str(count), *values]] * (count > 0)
    names = list(next(iter(by_size.values())).objects)
    lines.sort(key=lambda line: names.index(line[0]))
    heads = ["class", "size", "objects", *columns.values()]
    kind = "differences in points by size" if first else "by size"
    sizes = f"{kind}: small to 32 x 32 px, medium to 96 x 96, large"
    return f"{sizes}\n\n{Table([heads, *lines]).text()}"
