"""Scores of small, medium and large objects, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dmaskrcnn.evaluation.bootstrap import Metric
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.sized_set import SIZES, Size
from dmaskrcnn.evaluation.text import CLASS_COLUMNS, SIZES_SAID, Table, interval


def score_by_size(score_of: Callable[[Size | None], Scores]) -> Scores:
    """The scores of all objects, and beside them those of each of `SIZES` under names such as
    ``small/voc/AP50/car``; the authors' metric has no sizes.

    Args:
        score_of: scores the same detections for one size, or for all.
    """
    scores = score_of(None)
    metrics, objects = dict(scores.metrics), {}
    for name, size in SIZES.items():
        sized = score_of(size)
        metrics |= {f"{name}/{key}": m for key, m in sized.metrics.items() if "legacy" not in key}
        objects[name] = sized.objects
    return replace(scores, metrics=metrics, objects_by_size=objects)


def size_table(
    metrics: Mapping[str, Metric], objects_by_size: Mapping[str, Mapping[str, int]], title: str
) -> str:
    """Percent with 95 % intervals: the classes, each at the sizes of which there are objects.

    Args:
        metrics: of `score_by_size`, or of the paired difference of two such.
        objects_by_size: of the same.
        title: what the numbers are.
    """
    columns = {
        column: heading
        for column, heading in CLASS_COLUMNS.items()
        # of a size that no object has there are no masks to score
        if any(f"{size}/{column}" in metrics for size in objects_by_size)
    }
    lines = []
    for name in next(iter(objects_by_size.values()), ()):
        for size, objects in objects_by_size.items():
            values = (interval(metrics.get(f"{size}/{c}/{name}")) for c in columns)
            lines += [[name, size, str(objects[name]), *values]] * (objects[name] > 0)
    heads = ["class", "size", "objects", *columns.values()]
    return f"{title}: {SIZES_SAID}\n\n{Table([heads, *lines]).text()}"
