"""Figures of the training: whatever of these columns a run's ``metrics.csv`` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmaskrcnn.methods.parts.guard import LN2
from dmaskrcnn.methods.parts.losses import column
from dmaskrcnn.report.figures import FAINT, legend, render, series_colour
from dmaskrcnn.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = {
    "detection": "detection loss, clear images",
    "target": "loss on the hazy images",
    "alignment/domain": "domain loss <small>dashed: ln 2, chance</small>",
    "domain_accuracy": "domain accuracy <small>dashed: chance</small>",
    "pseudo_labels": "pseudo-labels per hazy image",
    "pseudo_score": "mean score of the pseudo-labels",
    "lr": "learning rate",
}
# The value at which the domains cannot be told apart.
CHANCE = {"alignment/domain": LN2, "domain_accuracy": 0.5}
MOST_POINTS = 150  # about one per two points (1/72 inch) of the figure's width


def training_figures(material: Material) -> list[str]:
    """One figure per column that any run has, all runs together; the legend first. Empty without a
    column."""
    shown = [(i, group) for i, group in enumerate(material.groups) if any(group.curves)]
    figures = []
    for name, title in COLUMNS.items():
        lines = {
            index: [points for rows in group.curves if len(points := _points(rows, name))]
            for index, group in shown
        }
        if any(lines.values()):
            figures.append(_figure(name, title, lines))
    entries = [(f"method{i}", group.name, series_colour(i), "-") for i, group in shown]
    return [legend(entries), *figures] if figures else []


def _points(rows: list[dict[str, float]], name: str) -> np.ndarray:
    """``(P, 2)``: iteration and value, in at most `MOST_POINTS` means."""
    points = [(row["iteration"], value) for row in rows if (value := column(row, name)) is not None]
    parts = np.array_split(np.array(points).reshape(-1, 2), min(len(points), MOST_POINTS) or 1)
    return np.array([part.mean(0) for part in parts if len(part)]).reshape(-1, 2)


def _figure(name: str, title: str, lines: dict[int, list[np.ndarray]]) -> str:
    def draw(axes: Axes) -> None:
        for index, seeds in lines.items():
            for points in seeds:
                marker = "o" if len(points) == 1 else None  # a line of one point shows nothing
                look = {"marker": marker, "alpha": 1 if len(seeds) == 1 else 0.7}
                line = axes.plot(*points.T, color=series_colour(index), **look)
                line[0].set_gid(f"series-method{index}")
        if name in CHANCE:
            axes.axhline(CHANCE[name], color=FAINT, linestyle="--", linewidth=1)
        axes.set_ylim(0, 1.02 if name == "domain_accuracy" else 1.08 * axes.get_ylim()[1])
        axes.set_xlabel("iteration")
        axes.margins(x=0.01)

    return render(draw, title, height=2.2)
