"""The result of an evaluation: named metrics with intervals, as a table for the terminal and as
JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dmaskrcnn.evaluation.bootstrap import Difference, Metric, difference
from dmaskrcnn.evaluation.text import scores_table


@dataclass(frozen=True)
class Scores:
    """All numbers of one run on one test set.

    Attributes:
        metrics: by name: ``voc/AP50``, ``box/AP``, ``box/AP50``, ``box/AP75``, ``mask/…`` where
            there are masks, and ``legacy/mAP``; all but the last also per class, as in
            ``voc/AP50/car``; where sizes were asked for, likewise ``small/voc/AP50``. Values in
            [0, 1].
        objects: objects that count (neither difficult nor crowd), per class.
        images: images in the test set.
        bootstrap: resamples behind the intervals.
        seed: of the resampling.
        fingerprint: of the ground truth; two runs are comparable only where it is equal.
        groups: what was drawn in the resampling: images, or groups of them.
        grouping: a digest of which images were drawn together; empty where each was by itself.
        objects_by_size: ``objects`` for each size that was asked for.
    """

    metrics: dict[str, Metric]
    objects: dict[str, int]
    images: int
    bootstrap: int
    seed: int
    fingerprint: str
    groups: int = 0
    grouping: str = ""
    objects_by_size: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def drawn(self) -> str:
        """What the intervals are over, in words: ``200 images``, or ``200 images in 20 groups``."""
        return f"{self.images} images" + (f" in {self.groups} groups" if self.grouping else "")

    def check_comparable(self, other: Scores) -> None:
        """Raises ValueError where the two cannot be compared resample by resample."""
        for names, reason in (
            (["fingerprint"], "on different ground truth: score both on the same data and classes"),
            (["seed", "bootstrap"], "with other resamples: take the same seed and bootstrap"),
            (["grouping"], "with other groups of images: take the same --groups for both"),
        ):
            if any(getattr(self, name) != getattr(other, name) for name in names):
                raise ValueError(f"the two runs were scored {reason}")

    def __getitem__(self, name: str) -> Metric:
        return self.metrics[name]

    def table(self) -> str:
        """Percent with 95 % intervals, aligned, per class and in all; ``n/a`` where there was
        nothing to find."""
        return scores_table(self.metrics, self.objects, self.drawn)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None, the resamples are left out."""
        return {
            "images": self.images,
            "groups": self.groups,
            "grouping": self.grouping,
            "objects": dict(self.objects),
            **({"objects_by_size": self.objects_by_size} if self.objects_by_size else {}),
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "metrics": {name: _numbers(metric) for name, metric in self.metrics.items()},
        }


def paired_difference(first: Scores, second: Scores) -> dict[str, Difference]:
    """Second run minus first (so give the baseline first), per metric, from the same resamples of
    the same images.

    Raises:
        ValueError: if the two were scored on different ground truth, or with another seed, number
            of resamples or grouping of the images.
    """
    first.check_comparable(second)
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
