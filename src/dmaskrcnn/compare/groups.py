"""Runs that are seeds of one method: their configurations differ in nothing that matters but the
seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from dmaskrcnn.run import Run, run_names


@dataclass(frozen=True)
class RunGroup:
    """Runs that share a row: seeds of one method.

    Attributes:
        name: to show: the name or method that all have; of its folder where that would not tell
            groups apart.
        runs: run folders by seed, or one COCO results JSON.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def curves(self) -> list[list[dict[str, float]]]:
        """The rows of each run's ``metrics.csv``."""
        return [run.metrics for run in self.runs if run.is_logged]

    @property
    def model(self) -> Run | None:
        """The first run with a detector in it."""
        return next((run for run in self.runs if run.has_detector), None)


def group_runs(runs: Sequence[Run]) -> list[RunGroup]:
    """The runs in their order, those that are seeds of one method together at the place of the
    first.

    Two runs belong together where ``config.yaml`` is equal but for the seed and what has no
    influence on the result (name, folders, device, ...). Their starts may be different run folders
    if these belong together likewise, or different files. Runs of the same seed never belong
    together: something that is not written down made them two.

    Raises:
        UserError: a ``config.yaml`` that cannot be read.
    """
    members: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        members.setdefault(run.seedless or str(index), []).append(index)
    configs = [run.config for run in runs]
    groups: list[list[int]] = []
    for indices in members.values():
        seeds = [configs[i].get("seed", 0) for i in indices]
        if len(set(seeds)) < len(seeds):
            groups += [[i] for i in indices]
        else:
            groups.append([i for _, i in sorted(zip(seeds, indices, strict=True))])
    groups.sort(key=min)
    names = run_names(runs)
    short = [
        _short_name([configs[i] for i in group], [names[i] for i in group]) for group in groups
    ]
    return [
        RunGroup(
            name if short.count(name) == 1 else ", ".join(names[i] for i in group),
            tuple(runs[i] for i in group),
        )
        for name, group in zip(short, groups, strict=True)
    ]


def _short_name(configs: Sequence[dict[str, Any]], runs: Sequence[str]) -> str:
    """What the names of all have in common (``grl`` of ``grl-s0`` and ``grl-s1``), or the
    method."""
    first = configs[0]
    if not first:
        return runs[0]
    names = [str(config.get("name") or first.get("method")) for config in configs]
    if len(set(names)) == 1:
        return names[0]
    shared = "".join(
        letters[0]
        for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    return re.sub(r"[-_. ]+(s|seed)?[-_. ]*[0-9]*$", "", shared) or str(first.get("method"))
