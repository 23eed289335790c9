"""The result of an evaluation: named metrics with intervals, as a table for the terminal and as
JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dmaskrcnn.evaluation.bootstrap import Difference, Metric, difference
from dmaskrcnn.evaluation.text import scores_table


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
        return scores_table(self.metrics, self.objects, self.images)

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


def _numbers(metric: Metric) -> dict[str, float | None]:
    return {
        key: None if math.isnan(v := getattr(metric, key)) else float(v)
        for key in ("value", "low", "high")
    }
