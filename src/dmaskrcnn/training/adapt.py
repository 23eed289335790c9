"""`dmaskrcnn adapt`: the method that the evidence favours (docs/results.md), with nothing to tune.

    dmaskrcnn adapt --source clear/annotations.json --target hazy/ --test test/

A mean teacher that looks at dehazed pictures, on a source that is put behind synthetic haze half of
the time. `dmaskrcnn train` has everything else; this is a short way to one of its configurations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dmaskrcnn.config.presets import BEST
from dmaskrcnn.config.train import TrainConfig


def adapt(
    source: Sequence[Path], target: Sequence[Path], *, preset: str | None = None, **options: Any
) -> Path:
    """Train a detector on clear images and adapt it to hazy ones; its run folder.

    Args:
        source: labelled clear images.
        target: unlabelled hazy images.
        preset: by default ``default`` on a GPU and ``cpu`` elsewhere.
        options: fields of `TrainConfig`, such as ``minutes``, ``weights``, ``seed``.

    Raises:
        UserError: as `train`.
    """
    from dmaskrcnn.distributed import resolve_device
    from dmaskrcnn.training.loop import train

    if preset is None:
        preset = (
            "default" if resolve_device(options.get("device", "auto")).type == "cuda" else "cpu"
        )
    values: dict[str, Any] = {
        "name": "adapt",
        **BEST,
        **{k: v for k, v in options.items() if v is not None},
    }
    return train(TrainConfig(source=tuple(source), target=tuple(target), preset=preset, **values))  # type: ignore[arg-type]
