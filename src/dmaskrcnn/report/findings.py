"""What was found, in one sentence, and the table of all scores behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.evaluation.bootstrap import Difference, Metric
from dmaskrcnn.evaluation.text import Html, Table, bounds, is_clear, percent
from dmaskrcnn.report.material import Material

# objects: in simulations, intervals of means with rarer classes held the truth far too seldom
# (evaluation/bootstrap.py)
RARE = 50


def leading_metric(rows: Sequence[Row]) -> tuple[str, str]:
    """The metric that the headline speaks of, and its name: the one that the test set can carry.

    The mean of all classes, but the most frequent class where it alone has objects enough, or
    others have too few; the authors' metric where published figures stand beside it.
    """
    if any(row.published is not None for row in rows):
        return "legacy/mAP", "authors’ metric"
    objects = {name: count for name, count in rows[0].scores.objects.items() if count}
    if not objects:
        return "voc/AP50", "AP50"
    name = max(objects, key=objects.__getitem__)
    if len(objects) == 1:
        return "voc/AP50", f"AP50 of {name}"
    if objects[name] >= RARE > min(objects.values()):
        return f"voc/AP50/{name}", f"AP50 of {name}"
    return "voc/AP50", f"mean AP50 of {len(objects)} classes"


def metric_columns(rows: Sequence[Row]) -> dict[str, str]:
    """The metrics of the table by name, the leading one first."""
    key, name = leading_metric(rows)
    columns = {key: name, "voc/AP50": "mean AP50", "mask/AP50": "mean mask AP50"}
    columns |= {"box/AP": "COCO box AP", "mask/AP": "COCO mask AP", "legacy/mAP": "authors’ metric"}
    columns[key] = name  # first, and by its own name
    known = {k for k, metric in rows[0].scores.metrics.items() if not math.isnan(metric.value)}
    return {k: v for k, v in columns.items() if k in known}


def best_row(rows: Sequence[Row]) -> int:
    """The index of the row, besides the first, with the highest value of the leading metric; 0
    where there is no other."""
    key = leading_metric(rows)[0]
    values = [float(np.nan_to_num(row.scores[key].value)) for row in rows]
    return max(range(1, len(rows)), key=values.__getitem__, default=0)


def best_other(rows: Sequence[Row]) -> int:
    """The index of the best row of other runs than the first's; 0 where there is none: behind a
    dehazer the first run is still the same."""
    key = leading_metric(rows)[0]
    others = [i for i, row in enumerate(rows) if row.group != rows[0].group]
    return max(others, key=lambda i: float(np.nan_to_num(rows[i].scores[key].value)), default=0)


def headline(material: Material) -> str:
    """What was found, as plain text: the best row of another run against the first, with the
    interval of the difference; where all rows are of one run, what the best dehazing changes."""
    comparison = material.comparison
    if comparison is None:
        return _training_in_a_sentence(material)
    rows = comparison.rows
    key, name = leading_metric(rows)
    value = rows[0].scores[key]
    if math.isnan(value.value):
        return "The test images hold no object to score on."
    if len(rows) == 1:
        reached = f"{percent(value)} % {bounds(value)}".rstrip()
        return f"{rows[0].name}: {name} {reached} on {rows[0].scores.images:,} test images."
    best, highest = best_other(rows) or best_row(rows), best_row(rows)
    said = _difference(comparison, best)
    if best != highest and rows[highest].scores[key].value > rows[best].scores[key].value:
        reached = percent(rows[highest].scores[key])
        said += (
            f" Highest of all is {rows[highest].name}, the first run behind dehazing: {reached} %."
        )
    return said


def _difference(comparison: Comparison, best: int) -> str:
    """The row against the first, in a sentence."""
    rows = comparison.rows
    key, name = leading_metric(rows)
    value, gain = rows[0].scores[key], comparison.differences()[best][key]
    first, other = rows[0].name, rows[best].name
    numbers = (
        f"{name} {percent(value)} → {percent(rows[best].scores[key])} %, a difference "
        f"of {_minus(percent(gain))} points"
    )
    if math.isnan(gain.low):
        return f"{other} against {first}: {numbers}, without an interval."
    numbers += f" {_minus(bounds(gain))}"
    if gain.low > 0:
        return f"{other} beats {first}: {numbers}; the 95 % interval does not contain 0."
    if gain.high < 0:
        closest = f"the closest is {other}" if len(rows) > 2 else f"{other} is worse"
        return f"Nothing beats {first}, {closest}: {numbers}; the 95 % interval does not contain 0."
    return (
        f"No difference is shown between {other} and {first}: {numbers}; the 95 % interval "
        "contains 0."
    )


def _training_in_a_sentence(material: Material) -> str:
    trained = [group for group in material.groups if any(group.curves)]
    if not trained:
        return "Nothing was scored and nothing was logged."
    rows = next(curve for group in trained for curve in group.curves if curve)
    length = f"{rows[-1]['iteration']:,.0f} iterations"
    if not math.isnan(seconds := rows[-1].get("seconds", math.nan)):
        length += (
            f" in {seconds / 60:.0f} minutes" if seconds >= 120 else f" in {seconds:.0f} seconds"
        )
    others = f", and {len(material.groups) - 1} more" if len(material.groups) > 1 else ""
    said = f"{trained[0].name} trained for {length}{others}"
    return f"{said}; not scored, for want of a labelled test set."


def remarks(rows: Sequence[Row]) -> str:
    """What the numbers rest on, as HTML."""
    scores = rows[0].scores
    objects = ", ".join(
        f"{escape(name)} {count:,}" for name, count in scores.objects.items() if count
    )
    groups = f" in {scores.groups:,} groups" if scores.grouping else ""
    text = [
        f"{scores.images:,} test images{groups} with {sum(scores.objects.values()):,} objects "
        f"({objects}). Values in %."
    ]
    if scores.bootstrap:
        seeds = max(len(row.group.runs) for row in rows) > 1
        what = "groups of images" if scores.grouping else "images"
        what += " and seeds" if seeds else ""
        paired = "; Δ: paired difference to the first row" if len(rows) > 1 else ""
        text.append(
            f"[ ]: 95 % intervals from {scores.bootstrap:,} resamples of the {what}{paired}."
        )
        one = (
            "One training"
            + " each" * (len(rows) > 1)
            + ": what another seed would change is not in them."
        )
        text.append("Values are means over the seeds." if seeds else one)
    if len(rows) > 2:
        text.append(
            f"The best of {len(rows) - 1} rows was picked on these images, which flatters it."
        )
    rare = [name for name, count in scores.objects.items() if 0 < count < RARE]
    if rare:
        text.append(
            f"Few objects ({escape(', '.join(rare))}): these classes, and the mean over "
            "classes, say little."
        )
    if any(row.published is not None for row in rows):
        text.append(
            "<b>Published</b> figures are the paper’s: other images (RTTS), other weights, one "
            "run, no interval. They are not comparable with the other columns."
        )
    return " ".join(text)


def table(comparison: Comparison) -> Table:
    """The main table, for HTML."""
    rows = comparison.rows
    columns = metric_columns(rows)
    published = any(row.published is not None for row in rows)
    seeds = any(len(row.group.runs) > 1 for row in rows)
    timed = any(not math.isnan(row.seconds_per_image) for row in rows)
    heads = ["", *columns.values(), *["s / image"] * timed]
    lines = [[*heads, *["published: RTTS, other data"] * published]]
    for row, gain in zip(rows, comparison.differences(), strict=True):
        count = len(row.group.runs)
        said = Html(f"{escape(row.name)} <small>{count} seed{'s' * (count > 1)}</small>")
        cells = [said if seeds else row.name]
        cells += [_cell(row.scores.metrics.get(key), gain.get(key)) for key in columns]
        if timed:
            seconds = row.seconds_per_image
            cells.append("–" if math.isnan(seconds) else f"{seconds:.{3 if seconds < 1 else 2}f}")
        if published:
            value = row.published
            cells.append("–" if value is None else Html(f"<i>{100 * value:.2f}</i>"))
        lines.append(cells)
    return Table(lines)


def class_table(comparison: Comparison) -> Table:
    """AP50 per class, for HTML."""
    objects = comparison.rows[0].scores.objects.items()
    columns = {f"voc/AP50/{name}": f"{name} ({count:,})" for name, count in objects if count}
    return _metric_table(comparison, columns)


def size_table(comparison: Comparison) -> Table:
    """AP50 per class at each size of which there are objects, for HTML; a heading alone where sizes
    were not asked for."""
    rows = comparison.rows
    columns = {
        f"{size}/voc/AP50/{name}": f"{name}, {size} ({count:,})"
        for name in rows[0].scores.objects
        for size, objects in rows[0].scores.objects_by_size.items()
        if (count := objects[name])
    }
    return _metric_table(comparison, columns)


def _metric_table(comparison: Comparison, columns: Mapping[str, str]) -> Table:
    """A line per row, below headings by the names of metrics."""
    lines: list[list[str]] = [["", *columns.values()]]
    for row, gain in zip(comparison.rows, comparison.differences(), strict=True):
        cells = (_cell(row.scores.metrics.get(key), gain.get(key)) for key in columns)
        lines.append([row.name, *cells])
    return Table(lines)


def _cell(metric: Metric | None, gain: Difference | None) -> str:
    """A value and, below it, its difference to the first row; of masks there may be none."""
    if metric is None or math.isnan(metric.value):
        return "–"
    text = f"<span><b>{percent(metric)}</b> <small>{bounds(metric)}</small></span>"
    if gain is not None and not math.isnan(gain.value):
        kind = "" if not is_clear(gain) else " up" if gain.low > 0 else " down"
        difference = _minus(f"Δ {percent(gain)} <small>{bounds(gain)}</small>")
        text += f'<span class="gain{kind}">{difference}</span>'
    return Html(text)


def _minus(numbers: str) -> str:
    """With the minus sign of typography."""
    return numbers.replace("-", "−")
