"""Scores as text: numbers with their intervals, and tables for a terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dmaskrcnn.evaluation.bootstrap import Difference, Metric

# (metric, heading) of the columns per class, and the rows of the summary below them.
CLASS_COLUMNS = {"voc/AP50": "VOC AP50", "box/AP": "box AP", "mask/AP": "mask AP"}
SUMMARY_ROWS = {
    "voc/AP50": "VOC AP50",
    "box/AP": "COCO box AP",
    "box/AP50": "COCO box AP50",
    "box/AP75": "COCO box AP75",
    "mask/AP": "COCO mask AP",
    "mask/AP50": "COCO mask AP50",
    "mask/AP75": "COCO mask AP75",
    "legacy/mAP": "authors' metric",
}
SIZES_SAID = "small to 32 x 32 px, medium to 96 x 96, large"  # of `SIZES`


def percent(metric: Metric, digits: int = 1) -> str:
    """``66.4``; a difference, in percentage points, carries its sign."""
    return f"{100 * metric.value:{_sign(metric)}.{digits}f}"


def bounds(metric: Metric, digits: int = 1) -> str:
    """``[61.0, 71.2]``, of a difference with signs; empty where there is no interval."""
    if math.isnan(metric.low):
        return ""
    form = f"{_sign(metric)}.{digits}f"
    return f"[{100 * metric.low:{form}}, {100 * metric.high:{form}}]"


def interval(metric: Metric | None, digits: int = 1) -> str:
    """``66.4 [61.0, 71.2]``; ``n/a`` where there was nothing to find."""
    if metric is None or math.isnan(metric.value):
        return "n/a"
    return f"{percent(metric, digits)} {bounds(metric, digits)}".rstrip()


def _sign(metric: Metric) -> str:
    return "+" if isinstance(metric, Difference) else ""


def is_clear(metric: Metric | None) -> bool:
    """Whether 0 lies outside the interval of a difference."""
    return isinstance(metric, Difference) and (metric.low > 0 or metric.high < 0)


def starred(metric: Metric | None) -> str:
    """`interval` for a column of text: a star behind a clear difference, room for it behind the
    others."""
    star = "*" if is_clear(metric) else " " if isinstance(metric, Difference) else ""
    return interval(metric) + star


def bold(metric: Metric | None) -> str:
    """`interval` for Markdown: clear differences are bold."""
    return f"**{interval(metric)}**" if is_clear(metric) else interval(metric)


class Html(str):
    """A cell that is HTML already."""


@dataclass(frozen=True)
class Table:
    """Cells in rows of equal length.

    Attributes:
        rows: the heading first; in each row the name first.
    """

    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Aligned by spaces: the first column to the left, the others to the right."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = []
        for first, *others in self.rows:
            cells = [
                first.ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """A pipe table, its columns aligned likewise."""
        head, *body = (f"| {' | '.join(map(escape_markdown, row))} |" for row in self.rows)
        return "\n".join([head, "|---" + "|---:" * (len(self.rows[0]) - 1) + "|", *body])

    def html(self, kind: str) -> str:
        """A ``<table>`` of this class. Each cell knows its heading, for screens that are too narrow
        for a table."""
        heads = [_html(cell) for cell in self.rows[0]]
        head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
        lines = []
        for name, *cells in self.rows[1:]:
            values = "".join(
                f'<td data-head="{title}">{_html(cell)}</td>'
                for title, cell in zip(heads[1:], cells, strict=True)
            )
            lines.append(f'<tr><th scope="row">{_html(name)}</th>{values}</tr>')
        return (
            f'<table class="{kind}"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table>"
        )


def escape_markdown(text: str) -> str:
    """Text that does not end a cell."""
    return text.replace("|", "\\|")


def _html(cell: str) -> str:
    return cell if isinstance(cell, Html) else escape(cell)


def scores_table(metrics: Mapping[str, Metric], objects: Mapping[str, int], drawn: str) -> str:
    """Percent with 95 % intervals, aligned, per class and in all. Differences are in percentage
    points, with the share of the resamples above zero.

    Args:
        metrics: as of `Scores`, or of `paired_difference`.
        objects: per class, how many there were to find.
        drawn: the test set in words, see `Scores.drawn`.
    """
    columns = {name: heading for name, heading in CLASS_COLUMNS.items() if name in metrics}
    rows = [["class", "objects", *columns.values()]]
    for name, count in objects.items():
        rows.append([name, str(count), *(_with_share(metrics.get(f"{c}/{name}")) for c in columns)])
    classes = sum(count > 0 for count in objects.values())
    noun = "class" if classes == 1 else "classes"
    summary = [
        [heading, _with_share(metrics[name])]
        for name, heading in SUMMARY_ROWS.items()
        if name in metrics
    ]
    title = f"{drawn}, mean over {classes} {noun} with objects, % [95 % interval]"
    if any(isinstance(metric, Difference) for metric in metrics.values()):
        title = (
            f"difference in points, second minus first, and share of resamples above zero\n{title}"
        )
    return "\n".join([title, "", Table(rows).text(), "", Table(summary).text()])


def _with_share(metric: Metric | None) -> str:
    if isinstance(metric, Difference) and not math.isnan(metric.share_above_zero):
        return f"{interval(metric)} {100 * metric.share_above_zero:.0f}%"
    return interval(metric)
