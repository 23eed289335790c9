"""``last.pt``: the full state of a training, for ``--resume``."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch
from torch import Tensor

from dmaskrcnn.detector.weights import check_finite, load_torch
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import atomic_write


@dataclass
class Checkpoint:
    """Tensors and plain values only, so that it loads with ``weights_only=True``: nothing is ever
    unpickled. Nothing random is in it: batches are a function of (seed, iteration)."""

    config: dict[str, Any]
    """The configuration (``TrainConfig.to_dict``)."""
    data: dict[str, Any]
    """A fingerprint of the images, to tell whether they changed since."""
    iteration: int
    """Steps that are done."""
    detector_steps: int
    """Those of them that trained the detector, for the warm-up and the average."""
    restarted: bool
    """Whether the detector has gone on from its averaged weights."""
    adapted_norms: bool
    """Whether AdaBN has been done: it must not be done twice."""
    untrained: bool
    """Whether the detector began with random heads, which its average has to forget."""
    seconds: float
    """Time spent, for a schedule in minutes."""
    window: dict[str, list[float]]
    """Sum and count of each loss and log since the last row of ``metrics.csv``."""
    model: dict[str, Tensor]
    """Detector and classifier."""
    ema: dict[str, Tensor]
    """The averaged detector; empty without an average."""
    optimizer: dict[str, Any]
    """Moments and learning rates."""
    method: dict[str, Any]
    """What the method remembers beyond weights."""

    def save(self, folder: Path) -> None:
        """Write ``last.pt`` atomically."""
        atomic_write(folder / "last.pt", lambda path: torch.save(vars(self), path))

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """What ``save`` wrote. Raises UserError when there is none or it is damaged."""
        path = folder / "last.pt"
        if not os.path.isdir(folder):
            raise UserError(f"--resume {folder}: no such run folder")
        if not os.path.isfile(path):
            raise UserError(
                f"--resume {folder}: holds no last.pt; the run ended before its first "
                "checkpoint, start it again"
            )
        try:
            state = dict(load_torch(path))
        except Exception as error:  # pickle, zip and torch each raise their own
            raise UserError(
                f"{path}: damaged or not a checkpoint ({first_line(error)}); start the run again"
            ) from error
        types = {name: get_origin(hint) or hint for name, hint in get_type_hints(cls).items()}
        for name, kind in types.items():
            if not isinstance(state.get(name), kind):
                wrong = f"is no {kind.__name__}" if name in state else "is missing"
                raise UserError(
                    f"{path}: not a checkpoint of this program ({name} {wrong}); start the run "
                    "again"
                )
        loaded = cls(**{name: state[name] for name in types})
        if not loaded._is_plausible():
            raise UserError(f"{path}: damaged (its counts are none); start the run again")
        for weights in (loaded.model, loaded.ema):
            check_finite(weights, path)
        return loaded

    def _is_plausible(self) -> bool:
        """Whether what the loop counts with are counts, and the weights tensors."""
        counts = (self.iteration, self.detector_steps)
        return (
            all(not isinstance(count, bool) and 0 <= count < 2**53 for count in counts)
            and 0 <= self.seconds < math.inf
            and all(isinstance(v, Tensor) for v in (*self.model.values(), *self.ema.values()))
            and all(
                isinstance(pair, list)
                and len(pair) == 2
                and all(isinstance(v, int | float) for v in pair)
                and pair[1] > 0
                for pair in self.window.values()
            )
        )
