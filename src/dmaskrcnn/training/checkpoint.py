"""``last.pt``: the full state of a training, for ``--resume``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import atomic_write

CHECKPOINT_FIELDS = {
    "config",
    "data",
    "iteration",
    "detector_steps",
    "restarted",
    "seconds",
    "window",
    "watch",
    "model",
    "ema",
    "optimizer",
}


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.pt`` atomically: tensors and plain values only, so that it loads with
    ``weights_only=True``."""
    atomic_write(folder / "last.pt", lambda path: torch.save(state, path))


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` wrote. Raises UserError when there is none or it is damaged; never
    unpickles code."""
    path = folder / "last.pt"
    if not folder.is_dir():
        raise UserError(f"--resume {folder}: no such run folder")
    if not path.is_file():
        raise UserError(
            f"--resume {folder}: holds no last.pt; the run ended before its first "
            "checkpoint, start it again"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = CHECKPOINT_FIELDS - set(state)
    except Exception as error:  # pickle, zip and torch each raise their own
        raise UserError(
            f"{path}: damaged or not a checkpoint ({first_line(error)}); start the run again"
        ) from error
    if missing:
        raise UserError(
            f"{path}: not a checkpoint of this program ({sorted(missing)[0]} is "
            "missing); start the run again"
        )
    return state
