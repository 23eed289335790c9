"""What a training step asks a GPU for, counted on a CPU: it may become less, and not more."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import launches
import pytest
import torch

SMALL: dict[str, Any] = {"preset": "demo", "backbone": "resnet18", "fpn_channels": 16}


@pytest.mark.parametrize(("method", "most"), [("source", 1285), ("teacher", 2790)])
def test_operations_of_a_step(method: str, most: int):
    """Of a small ResNet-18, for which fewer than a ResNet-50's (docs/performance.md) are enough."""
    few, many = (launches.counted(method, batch, 64, **SMALL) for batch in (1, 4))
    count = sum(many.seen.values())
    assert most / 2 < count <= most
    # what goes through the images one by one: their pictures, masks and boxes
    assert count - sum(few.seen.values()) < count / 8
    assert not {name for _, name in many.seen} & {"_local_scalar_dense", "item"}


def test_networks_multiply_in_bfloat16():
    """So that TF32, which is for float32, has nothing to do with them."""
    products = launches.counted("source", 1, 64, **SMALL).products
    assert products[torch.bfloat16] > 50
    # of the loss of classes, and who hides whom in suppression
    assert products[torch.float32] == 0


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(launches, "count", lambda _, batch: Counter({("backbone", "conv"): batch}))
    monkeypatch.setattr(sys, "argv", ["", "--methods", "source"])
    launches.main()
    assert "| backbone | 4 |" in capsys.readouterr().out
