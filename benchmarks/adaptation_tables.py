"""The tables of `adaptation.py`: value, paired difference, share of the gap, in haze and in clear
air."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from dmaskrcnn import paired_difference
from dmaskrcnn.evaluation.bootstrap import Metric, with_interval
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.evaluation.text import Table, interval

FIRST, LAST = "source", "oracle"  # the two ends of the gap
LEAST_OBJECTS = 30  # of a class that is shown by itself
Rows = dict[str, dict[int, Scores]]  # by method and seed


def with_means(scores: Scores, names: Iterable[str]) -> Scores:
    """With the mean over these classes, resample by resample."""
    for metric in per_class(scores):
        keys = [f"{metric}/{name}" for name in names if f"{metric}/{name}" in scores.metrics]
        parts = [scores[key] for key in keys]
        if not parts:
            continue
        scores.metrics[f"{metric} mean"] = with_interval(
            float(np.mean([part.value for part in parts])),
            np.mean([part.replicates for part in parts], axis=0),
        )
    return scores


def counted(scores: Scores) -> dict[str, int]:
    """The classes with enough objects to be shown by themselves, and how many they have."""
    return {name: n for name, n in scores.objects.items() if n >= LEAST_OBJECTS}


def per_class(scores: Scores) -> dict[str, str]:
    """The metrics that are shown class by class."""
    boxes = {"voc/AP50": "AP50", "box/AP": "box AP", "box/AP75": "box AP75"}
    return boxes | (
        {"mask/AP50": "mask AP50", "mask/AP": "mask AP"} if "mask/AP" in scores.metrics else {}
    )


def titled(scores: Scores, names: Mapping[str, int], size: str = "") -> dict[str, str]:
    """The metrics that get a table, with its title: of each of these classes, and their mean."""
    titles, of_size, only = {}, f" {size}" if size else "", f", {size} objects" if size else ""
    for metric, title in per_class(scores).items():
        for name, n in names.items():
            titles[f"{metric}/{name}"] = f"{title} of {name} ({n}{of_size} objects)"
        if len(names) > 1:
            titles[f"{metric} mean"] = f"mean {title} of these classes{only}"
    return titles


def table(
    rows: Rows,
    metric: str,
    title: str,
    against: str,
    clear: Rows | None = None,
    costs: Mapping[str, float] = MappingProxyType({}),
) -> Table:
    """One metric of all methods, in percent.

    What is compared is averaged over the seeds that both sides have.

    Args:
        rows: the scores in haze; `FIRST` and `LAST`, or else the first whose name begins so, are
            the two ends of the gap, where there are such.
        metric: its name, as of `Scores`.
        title: above the methods.
        against: the method that the differences are to.
        clear: the scores in clear air, of the same methods and seeds.
        costs: the time of each method, in units of that of ``against``.
    """
    in_clear = ["in clear air", "difference in clear air"] if clear else []
    heads = ["seeds", "value", f"difference to `{against}`", "of the gap closed", *in_clear, "time"]
    lines = [[f"{title}, %", *heads]]
    last = min((method for method in rows if method.startswith(LAST)), default=LAST)
    for method, by_seed in rows.items():
        gap = ""
        seeds = by_seed.keys() & rows.get(FIRST, {}).keys() & rows.get(last, {}).keys()
        if seeds and method != FIRST and not method.startswith(LAST):
            ends = (over(rows, m, seeds).metrics[metric] for m in (FIRST, method, last))
            gap = interval(gap_closed(*ends), digits=0)
        cells = [*value_and_difference(rows, metric, method, against), gap]
        if clear:
            cells += value_and_difference(clear, metric, method, against)
        relative = f"{costs[method]:.2f}×" if method in costs else ""
        drawn = ", ".join(map(str, sorted(by_seed)))
        lines.append([f"`{method}`", drawn, *cells, relative])
    return Table(lines)


def value_and_difference(rows: Rows, metric: str, method: str, against: str) -> list[str]:
    value = interval(over(rows, method, rows[method]).metrics.get(metric))
    seeds = rows[method].keys() & rows[against].keys()
    if method == against or not seeds:
        return [value, ""]
    pair = (over(rows, m, seeds) for m in (against, method))
    return [value, interval(paired_difference(*pair).get(metric))]


def over(rows: Rows, method: str, seeds: Iterable[int]) -> Scores:
    return over_seeds([rows[method][seed] for seed in sorted(seeds)])


def gap_closed(low: Metric, value: Metric, high: Metric) -> Metric:
    """``(value - low) / (high - low)``; percentiles of the resamples in which the gap is open. NaN
    where there is no gap to close."""
    if not high.value > low.value:
        return Metric(float("nan"))
    share = (value.value - low.value) / (high.value - low.value)
    replicates = (value.replicates - low.replicates) / np.where(
        high.replicates > low.replicates, high.replicates - low.replicates, np.nan
    )
    if np.isnan(replicates).all():
        return Metric(share)
    ends = np.nanpercentile(replicates, [2.5, 97.5])
    return Metric(share, float(ends[0]), float(ends[1]))
