"""`benchmarks/gpu.py` runs where there is no GPU: all parts but the two that let
`train_step.py` time steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gpu
import pytest


def test_every_part_gives_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "rows.json"
    words = ["--device", "cpu", "--tiny", "--workers", "0", "--json", str(file)]
    parts = ["training", "profile", "predicting", "parity", "exchange"]
    monkeypatch.setattr(sys, "argv", ["", *words, "--parts", *parts])
    gpu.main()
    rows = json.loads(file.read_text())
    assert [row[0].split(",")[0] for row in rows] == [
        "training",
        "one loading process",
        "a step of it",
        "network and boxes alone",
        "evaluate",
        "predict",
        "losses",
        "predictions",
        "source step",
    ]
    assert float(rows[6][1]) == 0  # the CPU beside itself
    assert "gloo, 2 processes" in rows[8][0]
    said = capsys.readouterr()
    assert all(row[1] in said.err for row in rows)  # each as soon as it is there
    assert said.out.count("\n| ") >= len(rows)
