"""Figures of the scores: values with intervals, and precision-recall curves per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from dmaskrcnn.evaluation.bootstrap import Metric
from dmaskrcnn.evaluation.precision_curves import precision_curves
from dmaskrcnn.report.figures import DASHES, INK, PAPER, legend, render, series_colour
from dmaskrcnn.report.findings import metric_columns
from dmaskrcnn.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 12  # panels of curves
LONGEST = 44  # letters of a name in a figure; the table has all of them


def interval_figures(material: Material) -> list[str]:
    """Per metric of the table its values; and the differences to the first row in the leading
    one."""
    comparison = material.comparison
    if comparison is None or len(comparison.rows) < 2:  # one row's are in the table
        return []
    rows = comparison.rows
    names = [row.name for row in rows]
    colours = [series_colour(material.group_of(row)) for row in rows]
    columns = metric_columns(rows)
    leading = next(iter(columns))
    # COCO AP: in the table
    shown = [key for key in columns if key == leading or not key.endswith("/AP")]
    figures = [
        _dots(columns[key], names, [row.scores.metrics.get(key) for row in rows], colours)
        for key in shown
    ]
    title = f"{columns[leading]}: difference to {rows[0].name}, points"
    gains = [gain[leading] for gain in comparison.differences()[1:]]
    return [figures[0], _dots(title, names[1:], gains, colours[1:], zero=True), *figures[1:]]


def _dots(
    title: str,
    names: Sequence[str],
    metrics: Sequence[Metric | None],
    colours: Sequence[str],
    zero: bool = False,
) -> str:
    """A dot and its interval per name; no dot where there is no value."""

    def draw(axes: Axes) -> None:
        for place, (name, found, colour) in enumerate(zip(names, metrics, colours, strict=True)):
            metric = found or Metric(math.nan)
            if not math.isnan(metric.low):
                ends = [100 * metric.low, 100 * metric.high]
                axes.plot(ends, [place, place], color=colour, linewidth=2.5, alpha=0.55)
            axes.plot([100 * metric.value], [place], "o", color=colour, markersize=6)
            # Above its dot, at the left edge: names may be long, and a phone is narrow.
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}  # hides the lines behind
            left = axes.get_yaxis_transform()
            shown = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
            text = axes.text(0, place - 0.3, shown, transform=left, va="bottom", bbox=box)
            text.set_in_layout(False)  # wide letters may not take the room of the axes
        if zero:
            axes.axvline(0, color=INK, linewidth=1)
        axes.set_ylim(len(names) - 0.6, -0.95)
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06)

    return render(draw, escape(title) + ("" if zero else ", %"), height=0.45 + 0.42 * len(names))


def curve_figures(material: Material) -> list[str]:
    """Precision-recall curves at IoU 0.5 per class with an object, mean over the seeds; the legend
    first."""
    if material.test is None or not any(material.rows[0].scores.objects.values()):
        return []
    rows, test, curves = material.rows, material.test, []
    for row in rows:
        seeds = [precision_curves(test.data, test.results(file)) for file in row.predictions]
        # All seeds have the same objects to find, so the mean curve is the mean precision at each
        # recall.
        curves.append({name: np.mean([seed[name] for seed in seeds], axis=0) for name in seeds[0]})
    # The colour tells the method, the dashes the dehazing.
    styles = [(series_colour(material.group_of(row)), DASHES.get(row.dehaze, "-")) for row in rows]
    objects = rows[0].scores.objects
    classes = sorted(curves[0], key=lambda name: -objects.get(name, 0))

    def figure(name: str) -> str:
        def draw(axes: Axes) -> None:
            for index, (curve, (colour, style)) in enumerate(zip(curves, styles, strict=True)):
                precision = np.trim_zeros(curve[name], "b")
                edges = np.arange(len(precision) + 1) / len(curve[name])
                look = {"color": colour, "linestyle": style, "linewidth": 1.5}
                line = axes.stairs(precision, edges, baseline=None, **look)
                line.set_gid(f"series-row{index}")
            axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall", ylabel="precision")

        return render(draw, f"{escape(name)} <small>{objects[name]:,} objects</small>")

    series = enumerate(zip(rows, styles, strict=True))
    entries = [(f"row{i}", row.name, *style) for i, (row, style) in series]
    return [legend(entries), *(figure(name) for name in classes[:MOST_CLASSES])]
