"""A comparison as text: aligned for a terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.evaluation.bootstrap import Difference, Metric
from dmaskrcnn.evaluation.text import SIZES_SAID, Table, bold, escape_markdown, starred

SUMMARY = {
    "voc/AP50": "VOC AP50",
    "box/AP": "COCO box AP",
    "mask/AP": "COCO mask AP",
    "legacy/mAP": "authors' metric",
}
CLASSES_SHOWN = 10  # those with the most objects; all are in the CSV
WIDTH = 118  # characters of a terminal's line
Cell = Callable[[Metric | None], str]


def terminal(comparison: Comparison) -> str:
    """Percent with intervals in aligned columns of at most 118 characters, where the names leave
    room."""
    lines = _blocks(comparison, False)
    if len(comparison.rows) > 1:
        lines += [
            f"Difference to {comparison.rows[0].name}, in points",
            "",
            *_blocks(comparison, True),
        ]
    return "\n".join(
        [
            *lines,
            *(
                line
                for text in _explanations(comparison, "*")
                for line in textwrap.wrap(text, WIDTH)
            ),
        ]
    )


def markdown(comparison: Comparison) -> str:
    """The same as Markdown, with the runs behind the rows."""
    columns = _columns(comparison)
    lines = [
        "# Comparison",
        "",
        Table(_cells(comparison, columns, bold, False)).markdown(),
        "",
    ]
    if len(comparison.rows) > 1:
        lines += [f"## Difference to {escape_markdown(comparison.rows[0].name)}, in points", ""]
        lines += [Table(_cells(comparison, columns, bold, True)).markdown(), ""]
    lines += [f"- {escape_markdown(line)}" for line in _explanations(comparison, "bold")]
    lines += [f"- Test set: {', '.join(f'`{path}`' for path in comparison.data)}"]
    first = {row.group: row.name for row in reversed(comparison.rows)}
    lines += [
        f"- {escape_markdown(name)}: {', '.join(f'`{run}`' for run in group.runs)}"
        for group, name in reversed(first.items())
    ]
    return "\n".join(lines) + "\n"


def csv_table(comparison: Comparison) -> str:
    """One line per row and metric, in [0, 1] (seconds: in seconds), with the paired difference to
    the first row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("value", "low", "high")
    changes = ("difference", "difference_low", "difference_high", "share_above_zero")
    writer.writerow(["row", "dehaze", "seeds", "metric", *numbers, *changes, "published"])
    for row, differences in zip(comparison.rows, comparison.differences(), strict=True):
        key = [row.name, row.dehaze, len(row.group.runs)]
        for name, metric in row.scores.metrics.items():
            change = differences.get(name, Difference(math.nan))
            values = [
                metric.value,
                metric.low,
                metric.high,
                change.value,
                change.low,
                change.high,
                change.share_above_zero,
            ]
            published = (
                row.published if name == "legacy/mAP" and row.published is not None else math.nan
            )
            writer.writerow(
                [*key, name, *("" if math.isnan(v) else f"{v:.6g}" for v in (*values, published))]
            )
        if not math.isnan(row.seconds_per_image):
            writer.writerow([*key, "seconds_per_image", f"{row.seconds_per_image:.6g}", *[""] * 7])
    return text.getvalue()


class _Column(NamedTuple):
    """A heading, and what each row has below it: a metric, or a text."""

    heading: str
    metric: str = ""
    text: Callable[[Row], str] = lambda _: ""


def _columns(comparison: Comparison) -> list[_Column]:
    """The summary, what a row costs, and the classes by their number of objects."""
    rows = comparison.rows
    columns = [
        _Column(h, m) for m, h in SUMMARY.items() if any(m in row.scores.metrics for row in rows)
    ]
    if any(row.published is not None for row in rows):
        columns.append(
            _Column(
                "paper, RTTS",
                text=lambda row: "" if row.published is None else f"{100 * row.published:.2f}",
            )
        )
    if len({len(row.group.runs) for row in rows}) > 1:
        columns.append(_Column("seeds", text=lambda row: str(len(row.group.runs))))
    if any(not math.isnan(row.seconds_per_image) for row in rows):
        columns.append(_Column("s/image", text=lambda row: _seconds(row.seconds_per_image)))
    classes = _frequent(comparison)
    columns += [_Column(f"{name} AP50 ({count:,})", f"voc/AP50/{name}") for name, count in classes]
    sizes = rows[0].scores.objects_by_size
    columns += [
        _Column(f"{size} {heading}", f"{size}/{metric}")
        for metric, heading in SUMMARY.items()
        for size, objects in sizes.items()
        if any(objects.values()) and any(f"{size}/{metric}" in row.scores.metrics for row in rows)
    ]
    return columns + [
        _Column(f"{size} {name} AP50 ({count:,})", f"{size}/voc/AP50/{name}")
        for name, _ in classes
        for size, objects in sizes.items()
        if (count := objects[name])
    ]


def _frequent(comparison: Comparison) -> list[tuple[str, int]]:
    objects = comparison.rows[0].scores.objects
    classes = sorted(
        ((name, count) for name, count in objects.items() if count), key=lambda item: -item[1]
    )
    return classes[:CLASSES_SHOWN]


def _cells(
    comparison: Comparison, columns: Sequence[_Column], show: Cell, differences: bool
) -> list[list[str]]:
    """Heading and rows as cells; with differences, only the columns that have one, and from the
    second row on."""
    columns = [column for column in columns if column.metric or not differences]
    table = [["", *(column.heading for column in columns)]]
    for row, changes in zip(comparison.rows, comparison.differences(), strict=True):
        metrics = changes if differences else row.scores.metrics
        if metrics:
            table.append(
                [
                    row.name,
                    *(show(metrics.get(c.metric)) if c.metric else c.text(row) for c in columns),
                ]
            )
    return table


def _blocks(comparison: Comparison, differences: bool) -> list[str]:
    """The table in pieces that fit on a line: the summary, then the classes."""
    columns = _columns(comparison)
    summary = [c for c in columns if not c.metric or c.metric in SUMMARY]
    lines = []
    for part in (summary, [c for c in columns if c not in summary]):
        names, *cells = zip(*_cells(comparison, part, starred, differences), strict=True)
        room, blocks = 0, []
        for column in cells:
            width = 2 + max(map(len, column))
            if width > room:
                blocks.append([names])
                room = WIDTH - max(map(len, names))
            blocks[-1].append(column)
            room -= width
        for block in blocks:
            lines += [Table(list(zip(*block, strict=True))).text(), ""]
    return lines


def _explanations(comparison: Comparison, mark: str) -> list[str]:
    rows = comparison.rows
    objects = rows[0].scores.objects
    classes = sum(count > 0 for count in objects.values())
    lines = [
        f"In percent. VOC AP50, COCO box and mask AP: means over {classes} "
        f"{'class' if classes == 1 else 'classes'} with objects (in brackets, how many).",
        *_resampling(rows, mark),
    ]
    if rows[0].scores.objects_by_size:
        lines.append(f"Sizes of objects: {SIZES_SAID}, in pixels of the files.")
    if any(not math.isnan(row.seconds_per_image) for row in rows):
        lines.append("s/image: dehazing and detection, median over the images, on this machine.")
    lines += _weights_scored(rows)
    if len(objects) > CLASSES_SHOWN:
        lines.append(
            f"The {CLASSES_SHOWN} most frequent classes are shown; all are in comparison.csv."
        )
    return [*lines, *comparison.notes]


def _resampling(rows: Sequence[Row], mark: str) -> list[str]:
    """What the intervals contain, and what they do not."""
    scores, seeds = rows[0].scores, {len(row.group.runs) for row in rows}
    lines = []
    if scores.bootstrap:
        drawn = scores.drawn
        if seeds != {1}:
            drawn += " and the seeds" if len(seeds) > 1 else f" and the {max(seeds)} seeds"
        lines.append(f"[95 % interval] from {scores.bootstrap:,} resamples of {drawn}.")
        if len(rows) > 1:
            lines[0] += f" Differences are paired; {mark}: 0 lies outside the interval."
    if seeds == {1}:
        lines.append(
            "One training run per row: the intervals do not contain what another seed would change."
        )
    return lines


def _weights_scored(rows: Sequence[Row]) -> list[str]:
    """Averaged or last, the teacher's or not: one line for the rows that have this in common."""
    named = [(run.weights_said, row.name) for row in rows for run in row.group.runs]
    lines = []
    for which in dict.fromkeys(which for which, _ in named if which):
        names = list(dict.fromkeys(name for one, name in named if one == which))
        whose = "all rows" if {which} == {one for one, _ in named} else ", ".join(names)
        lines.append(f"Scored of {whose}: {which}.")
    return lines


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"
