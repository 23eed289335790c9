"""Which runs are seeds of one method: their configurations differ in nothing that matters but the
seed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from dmaskrcnn.config.train import TrainConfig, read_yaml
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import run_names

# What a detector learns does not depend on these, or (the seed) only by chance.
NO_MATTER = (
    "seed",
    "name",
    "out",
    "test",
    "device",
    "workers",
    "checkpoint_minutes",
    "tensorboard",
)
STARTS = ("coco", "imagenet", "scratch")


@dataclass(frozen=True)
class Group:
    """Runs of one method, by seed.

    Attributes:
        name: to show: the name or method that all have; of its folder where that would not tell
            groups apart.
        runs: run folders, or one COCO results JSON.
    """

    name: str
    runs: tuple[Path, ...]


def group_runs(runs: Sequence[Path]) -> list[Group]:
    """The runs in their order, those that are seeds of one method together at the place of the
    first.

    Two runs belong together where ``config.yaml`` is equal but for the seed and what has no
    influence on the result (name, folders, device, ...). Their starts may be different run folders
    if these belong together likewise, or different files. Runs of the same seed never belong
    together: something that is not written down made them two.

    Raises:
        UserError: a ``config.yaml`` that cannot be read.
    """
    settings = [_settings(run) for run in runs]
    members: dict[str, list[int]] = {}
    for index, values in enumerate(settings):
        members.setdefault(str(index) if values is None else _what_matters(values), []).append(
            index
        )
    groups: list[list[int]] = []
    for indices in members.values():
        seeds = [(settings[i] or {}).get("seed", 0) for i in indices]
        if len(set(seeds)) < len(seeds):
            groups += [[i] for i in indices]
        else:
            groups.append([i for _, i in sorted(zip(seeds, indices, strict=True))])
    groups.sort(key=min)
    names = run_names(runs)
    short = [
        _short_name([settings[i] for i in group], [names[i] for i in group]) for group in groups
    ]
    return [
        Group(
            name if short.count(name) == 1 else ", ".join(names[i] for i in group),
            tuple(runs[i] for i in group),
        )
        for name, group in zip(short, groups, strict=True)
    ]


def _settings(run: Path) -> dict[str, Any] | None:
    """The configuration of a run; None for a results JSON or a detector that no training of ours
    left behind."""
    if run.suffix == ".json" or not (run / "config.yaml").is_file():
        return None
    values = read_yaml(run / "config.yaml")
    try:
        # fills in what an older version did not write
        return TrainConfig.from_dict(values).to_dict()
    except (UserError, TypeError):
        return values


def _what_matters(values: dict[str, Any], depth: int = 9) -> str:
    """Equal for the seeds of one method."""
    kept = {name: value for name, value in values.items() if name not in NO_MATTER}
    start = kept.get("weights")
    if start not in STARTS and depth:
        try:
            before = _settings(Path(str(start)))
        except UserError:
            before = None
        kept["weights"] = "a file" if before is None else _what_matters(before, depth - 1)
    return json.dumps(kept, sort_keys=True, default=str)


def _short_name(settings: Sequence[dict[str, Any] | None], runs: Sequence[str]) -> str:
    """What the names of all have in common (``grl`` of ``grl-s0`` and ``grl-s1``), or the
    method."""
    first = settings[0]
    if first is None:
        return runs[0]
    names = [str((values or {}).get("name") or first.get("method")) for values in settings]
    if len(set(names)) == 1:
        return names[0]
    shared = "".join(
        letters[0]
        for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    return re.sub(r"[-_. ]+(s|seed)?[-_. ]*[0-9]*$", "", shared) or str(first.get("method"))
