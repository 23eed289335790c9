"""The result of an evaluation: named metrics with intervals, as a table for the terminal and as
JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dmaskrcnn.evaluation.bootstrap import Difference, Metric, difference

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


@dataclass(frozen=True)
class Scores:
    """All numbers of one run on one test set.

    Attributes:
        metrics: by name: ``voc/AP50``, ``box/AP``, ``box/AP50``, ``box/AP75``, ``mask/…`` where
            there are masks, and ``legacy/mAP``; all but the last also per class, as in
            ``voc/AP50/car``. Values in [0, 1].
        objects: objects that count (neither difficult nor crowd), per class.
        images: images in the test set.
        bootstrap: resamples behind the intervals.
        seed: of the resampling.
        fingerprint: of the ground truth; two runs are comparable only where it is equal.
    """

    metrics: dict[str, Metric]
    objects: dict[str, int]
    images: int
    bootstrap: int
    seed: int
    fingerprint: str

    def __getitem__(self, name: str) -> Metric:
        return self.metrics[name]

    def table(self) -> str:
        """Percent with 95 % intervals, aligned, per class and in all; ``n/a`` where there was
        nothing to find."""
        return _table(self.metrics, self.objects, self.images)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None, the resamples are left out."""
        return {
            "images": self.images,
            "objects": dict(self.objects),
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "metrics": {name: _numbers(metric) for name, metric in self.metrics.items()},
        }


def paired_difference(first: Scores, second: Scores) -> dict[str, Difference]:
    """Second run minus first (so give the baseline first), per metric, from the same resamples of
    the same images.

    Raises:
        ValueError: if the two were scored on different ground truth, or with another seed or number
        of resamples.
    """
    if first.fingerprint != second.fingerprint:
        raise ValueError(
            "the two runs were scored on different ground truth: score both on the "
            "same data set and classes"
        )
    if (first.seed, first.bootstrap) != (second.seed, second.bootstrap):
        raise ValueError(
            "the two runs were resampled differently: score both with the same seed and bootstrap"
        )
    return {
        name: difference(metric, second.metrics[name])
        for name, metric in first.metrics.items()
        if name in second.metrics
    }


def difference_table(
    differences: Mapping[str, Difference], objects: Mapping[str, int], images: int
) -> str:
    """`paired_difference` for the terminal: percentage points, with the share of the resamples
    above zero."""
    return _table(differences, objects, images)


def _numbers(metric: Metric) -> dict[str, float | None]:
    return {
        key: None if math.isnan(v := getattr(metric, key)) else float(v)
        for key in ("value", "low", "high")
    }


def _cell(metric: Metric | None) -> str:
    """``66.4 [61.0, 71.2]``; a difference carries its sign, and the share of the resamples above
    zero."""
    if metric is None or math.isnan(metric.value):
        return "n/a"
    sign = "+" if isinstance(metric, Difference) else ""
    text = f"{100 * metric.value:{sign}.1f}"
    if not math.isnan(metric.low):
        text += f" [{100 * metric.low:{sign}.1f}, {100 * metric.high:{sign}.1f}]"
    if isinstance(metric, Difference) and not math.isnan(metric.share_above_zero):
        text += f" {100 * metric.share_above_zero:.0f}%"
    return text


def _table(metrics: Mapping[str, Metric], objects: Mapping[str, int], images: int) -> str:
    columns = {name: heading for name, heading in CLASS_COLUMNS.items() if name in metrics}
    rows = [["class", "objects", *columns.values()]]
    for name, count in objects.items():
        rows.append(
            [name, str(count), *(_cell(metrics.get(f"{column}/{name}")) for column in columns)]
        )
    classes = sum(count > 0 for count in objects.values())
    noun = "class" if classes == 1 else "classes"
    summary = [
        [heading, _cell(metrics[name])] for name, heading in SUMMARY_ROWS.items() if name in metrics
    ]
    title = f"{images} images, mean over {classes} {noun} with objects, % [95 % interval]"
    if any(isinstance(metric, Difference) for metric in metrics.values()):
        title = (
            f"difference in points, second minus first, and share of resamples above zero\n{title}"
        )
    return "\n".join([title, "", *aligned(rows), "", *aligned(summary)])


def aligned(rows: list[list[str]]) -> list[str]:
    """Cells as lines of text: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
