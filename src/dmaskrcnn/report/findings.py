"""What was found, in one sentence, and the table of all scores behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    if (
        len(objects) == 1
        or min(objects.values(), default=0) >= RARE
        or max(objects.values(), default=0) < RARE
    ):
        return "voc/AP50", f"mean AP50 of {len(objects)} classes" if len(
            objects
        ) > 1 else f"AP50 of {next(iter(objects))}"
    name = max(objects, key=objects.__getitem__, default="")
    return (f"voc/AP50/{name}", f"AP50 of {name}") if name else ("voc/AP50", "AP50")


def metric_columns(rows: Sequence[Row]) -> dict[str, str]:
    """The metrics of the table by name, the leading one first."""
    key, name = leading_metric(rows)
    columns = {
        key: name,
        "voc/AP50": "mean AP50",
        "mask/AP50": "mean mask AP50",
        "box/AP": "COCO box AP",
    }
    columns |= {"mask/AP": "COCO mask AP", "legacy/mAP": "authors’ metric"} | {key: name}
    return {
        k: v
        for k, v in columns.items()
        if k in rows[0].scores.metrics and not math.isnan(rows[0].scores[k].value)
    }


def best_row(rows: Sequence[Row]) -> int:
    """The index of the row, besides the first, with the highest value of the leading metric; 0
    where there is no other."""
    key = leading_metric(rows)[0]
    return max(
        range(1, len(rows)), key=lambda i: np.nan_to_num(rows[i].scores[key].value), default=0
    )


def headline(material: Material) -> str:
    """One sentence, as plain text: the best row against the first, with the interval of the
    difference."""
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
    best = best_row(rows)
    gain = comparison.differences()[best][key]
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
    minutes = rows[-1].get("seconds", math.nan) / 60
    time = (
        ""
        if math.isnan(minutes)
        else f" in {minutes:.0f} minutes"
        if minutes >= 2
        else f" in {60 * minutes:.0f} seconds"
    )
    others = f", and {len(material.groups) - 1} more" if len(material.groups) > 1 else ""
    length = f"{rows[-1]['iteration']:,.0f} iterations{time}"
    return (
        f"{trained[0].name} trained for {length}{others}; not scored, for want of a "
        "labelled test set."
    )


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
            "run, no interval. "
            "They are not comparable with the other columns."
        )
    return " ".join(text)


def table(comparison: Comparison) -> Table:
    """The main table, for HTML."""
    rows = comparison.rows
    columns = metric_columns(rows)
    published = any(row.published is not None for row in rows)
    seeds = any(len(row.group.runs) > 1 for row in rows)
    timed = any(not math.isnan(row.seconds_per_image) for row in rows)
    heads = [
        *columns.values(),
        *["s / image"] * timed,
        *["published: RTTS, other data"] * published,
    ]
    lines = []
    for row, gain in zip(rows, comparison.differences(), strict=True):
        cells = [_name(row) if seeds else row.name]
        cells += [_cell(row.scores[key], gain.get(key)) for key in columns]
        if timed:
            seconds = row.seconds_per_image
            cells.append("–" if math.isnan(seconds) else f"{seconds:.{3 if seconds < 1 else 2}f}")
        if published:
            cells.append(
                "–" if row.published is None else Html(f"<i>{100 * row.published:.2f}</i>")
            )
        lines.append(cells)
    return Table([["", *heads], *lines])


def class_table(comparison: Comparison) -> Table:
    """AP50 per class, for HTML."""
    rows = comparison.rows
    objects = {name: count for name, count in rows[0].scores.objects.items() if count}
    keys = [f"voc/AP50/{name}" for name in objects]
    lines = [
        [row.name, *(_cell(row.scores[key], gain.get(key)) for key in keys)]
        for row, gain in zip(rows, comparison.differences(), strict=True)
    ]
    return Table([["", *(f"{name} ({count:,})" for name, count in objects.items())], *lines])


def _name(row: Row) -> Html:
    seeds = len(row.group.runs)
    return Html(f"{escape(row.name)} <small>{seeds} seed{'s' * (seeds > 1)}</small>")


def _cell(metric: Metric, gain: Difference | None) -> str:
    """A value and, below it, its difference to the first row."""
    if math.isnan(metric.value):
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
