"""What a training left behind, for the tests that compare two of them."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor

from dmaskrcnn.training.checkpoint import Checkpoint


def weights(run: Path) -> dict[str, Tensor]:
    """All that was learnt: student, average and optimiser."""
    state = Checkpoint.load(run)
    flat = {**state.model, **{f"ema.{k}": v for k, v in state.ema.items()}}
    for index, moments in state.optimizer["state"].items():
        flat |= {f"optimizer.{index}.{k}": v for k, v in moments.items() if isinstance(v, Tensor)}
    return flat


def assert_same_bits(a: Path, b: Path) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    different = [k for k, v in ours.items() if not torch.equal(v, theirs[k])]
    assert different == []


def rows(run: Path) -> list[dict[str, str]]:
    """Of ``metrics.csv``."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
