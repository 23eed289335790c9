"""What a training run looks like: its curves, from ``metrics.csv``, and a few pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from dmaskrcnn.data import Dataset
from dmaskrcnn.data.readable import readable
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.draw import contact_sheet
from dmaskrcnn.errors import first_line, printable
from dmaskrcnn.files import atomic_write, save_picture_whole
from dmaskrcnn.methods.parts.guard import LN2
from dmaskrcnn.methods.parts.losses import column
from dmaskrcnn.metrics_csv import read_metrics

SHOWN = 0.5  # least score of what is drawn, as of `dmaskrcnn predict`


def plot_curves(metrics: Mapping[str, Path], out: Path, joined: bool = False) -> None:
    """Draw loss, learning rate and domain accuracy of one or several runs against the iteration.

    Args:
        metrics: ``metrics.csv`` per name of the run, for the legend.
        out: the ``.png`` to write.
        joined: each went on from the one before, whose iterations it has behind it.
    """
    # no pyplot: it looks for a display and keeps figures alive
    from matplotlib.figure import Figure

    runs, behind = {}, 0.0
    for run, path in metrics.items():
        runs[run] = [{**row, "iteration": row["iteration"] + behind} for row in read_metrics(path)]
        behind = runs[run][-1]["iteration"] if joined and runs[run] else 0.0
    domain = any("alignment/domain" in row for rows in runs.values() for row in rows)
    panels = [("detection", "detection loss"), ("lr", "learning rate")]
    if domain:
        panels += [("alignment/domain", "domain loss"), ("domain_accuracy", "domain accuracy")]
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, (name, title) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for index, (run, rows) in enumerate(runs.items()):  # a run has its colour in all panels
            points = [
                (row["iteration"], value)
                for row in rows
                if (value := column(row, name)) is not None
            ]
            if points:
                colour, name_shown = f"C{index}", printable(run)
                axes.plot(*zip(*points, strict=True), label=name_shown, color=colour, linewidth=1.5)
        axes.set_title(title)
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
        axes.margins(x=0.01)
        chance = {
            "alignment/domain": (LN2, "ln 2: domains cannot be told apart"),
            "domain_accuracy": (0.5, "chance"),
        }.get(name)
        if chance:
            axes.axhline(chance[0], color="grey", linestyle="--", linewidth=1, label=chance[1])
        if name == "domain_accuracy":
            axes.set_ylim(0, 1.02)
        elif name != "lr":
            axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        if axes.get_legend_handles_labels()[0]:
            for text in axes.legend(fontsize="small").get_texts():
                text.set_parse_math(False)  # a name is no formula, whatever signs it has
    atomic_write(out, lambda path: figure.savefig(path, dpi=110, format="png"))


def draw_examples(detector: Detector, data: Dataset, out: Path, count: int = 6) -> float:
    """Draw what the detector finds in ``count`` images, evenly spread over the data set, on one
    sheet (a ``.jpg``).

    Returns:
        The best score in them, also where it is too low to be drawn; 0 where nothing was found.
    """
    order = range(0, len(data), max(1, len(data) // count))
    images = [sample.image for sample in islice(readable(data, order), count)]
    found = detector.predict(images, threshold=SHOWN, best=True)
    drawn = [one.above(SHOWN).draw(image) for one, image in zip(found, images, strict=True)]
    sheet = contact_sheet(drawn, columns=min(3, len(images)))
    atomic_write(out, lambda path: save_picture_whole(sheet, path, format="JPEG", quality=90))
    return max((float(score) for one in found for score in one.scores), default=0.0)


def draw_safely(file: Path, draw: Callable[[Path], object]) -> None:
    """Draw a picture of a training, which is saved and stays so whatever happens here."""
    try:
        draw(file)
    except Exception as error:  # of other libraries, too
        print(f"warning: {file}: not drawn ({first_line(error)})", file=sys.stderr)
