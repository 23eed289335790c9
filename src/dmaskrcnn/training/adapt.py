"""`dmaskrcnn adapt`: the method that the evidence favours (docs/results.md), with nothing to tune.

    dmaskrcnn adapt --source clear/annotations.json --target hazy/ --test test/

A mean teacher that looks at dehazed pictures, on a source that is put behind synthetic haze half of
the time; then a second round, with what the first one sees in larger views. All of `dmaskrcnn
train` can be changed here, too; only the defaults are others. It ends by the clock, unless a length
is given: within an hour on a CPU, within ten minutes on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dmaskrcnn.config.presets import ADAPT, ADAPT_MINUTES
from dmaskrcnn.config.train import TrainConfig, favoured


def adapt(
    source: Sequence[Path | str] | Path | str,
    target: Sequence[Path | str] | Path | str,
    **options: Any,
) -> Path:
    """Train a detector on clear images and adapt it to hazy ones; its run folder.

    Args:
        source: labelled clear images.
        target: unlabelled hazy images.
        options: fields of `TrainConfig`, such as ``preset``, ``minutes``, ``weights``, ``test``.

    Raises:
        UserError: as `train`.
    """
    from dmaskrcnn.training.loop import train

    return train(adapt_config({"source": source, "target": target, **options}))


def adapt_config(values: dict[str, Any]) -> TrainConfig:
    """The favoured configuration but for these values, with the preset and the time that fit this
    machine. Raises UserError as `TrainConfig.from_preset`."""
    best = ADAPT | {"minutes": ADAPT_MINUTES["cuda" if _on_gpu(values) else "cpu"]}
    return TrainConfig.from_preset(**favoured(with_fitting_preset(values), best))


def with_fitting_preset(values: dict[str, Any]) -> dict[str, Any]:
    """The values with a preset where they name none: ``default`` on a GPU, ``cpu`` elsewhere.
    Raises UserError for a device that is not there."""
    if "preset" in values:
        return values
    return {"preset": "default" if _on_gpu(values) else "cpu", **values}


def _on_gpu(values: dict[str, Any]) -> bool:
    from dmaskrcnn.device import resolve_device

    return resolve_device(str(values.get("device", "auto"))).type == "cuda"
