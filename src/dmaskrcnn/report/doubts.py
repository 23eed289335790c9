"""Why the numbers of a page may mean little, said right below its headline."""

from __future__ import annotations

from collections.abc import Iterator

from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.report.findings import RARE, leading_metric
from dmaskrcnn.report.material import Material

NOTHING = 0.01  # of the leading metric: a detector below it has not learnt to find anything


def doubts(material: Material) -> list[str]:
    """A sentence each, as plain text: runs that are unfinished or hardly trained, rows that find
    next to nothing, a test set with few objects."""
    return [*_of_trainings(material.groups), *_of_scores(material)]


def _of_trainings(groups: list[RunGroup]) -> Iterator[str]:
    for run in (run for group in groups for run in group.runs if not run.is_results):
        config, rows = run.config, run.metrics
        steps = int(rows[-1]["iteration"]) if rows else 0
        warmup = config.get("warmup", 0)
        if rows and run.has_description and not run.finished:
            yield f"{run.name}: the training is not finished (iteration {steps:,})."
        elif rows and isinstance(warmup, int) and steps < warmup:
            yield (
                f"{run.name}: trained for {steps:,} iterations, fewer than the {warmup:,} of its "
                "warm-up: it has hardly learnt anything."
            )


def _of_scores(material: Material) -> Iterator[str]:
    if not (rows := material.rows):
        return
    key, name = leading_metric(rows)
    empty = [row.name for row in rows if row.scores[key].value < NOTHING]
    if empty:
        are = "finds" if len(empty) == 1 else "find"
        yield f"{', '.join(empty)} {are} next to nothing ({name} below 1 %): trained long enough?"
    objects = sum(rows[0].scores.objects.values())
    if objects < RARE:
        noun = "object" if objects == 1 else "objects"
        yield f"The test set holds {objects} {noun}: what is measured on so few says little."
