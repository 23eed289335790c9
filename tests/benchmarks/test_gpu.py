"""`benchmarks/gpu.py` runs where there is no GPU: the parts that need no process of their own."""

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
    parts = ["parity", "training", "predicting"]
    monkeypatch.setattr(sys, "argv", ["", *words, "--parts", *parts])
    gpu.main()
    rows = json.loads(file.read_text())
    assert [row[0].split(",")[0] for row in rows] == [
        "losses",
        "predictions",
        "training",
        "network and boxes alone",
        "evaluate",
        "predict",
    ]
    assert float(rows[0][1]) == 0  # the CPU beside itself
    assert capsys.readouterr().out.count("\n| ") >= len(rows)
