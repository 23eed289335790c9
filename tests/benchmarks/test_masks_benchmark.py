"""The benchmark of masks, at the size of nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import masks
import pytest

from dmaskrcnn.data import open_dataset


def test_scores_and_predictions_are_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = [
        "masks.py",
        *["--images", "6", "--rounds", "1", "--tiny", "--parts", "scoring", "prediction"],
    ]
    monkeypatch.setattr(sys, "argv", words)
    masks.main()  # which compares the AP of all ways
    rows = [row.split("|")[1].strip() for row in capsys.readouterr().out.splitlines() if row]
    assert [row for row in rows if row.endswith(("eval", "network", "intervals", "draw"))] == [
        "in memory: faster-coco-eval",
        "in memory: dmaskrcnn with intervals",
        "from files: faster-coco-eval",
        "from files: dmaskrcnn with intervals",
        "4K: the network",
        "4K: draw",
        "4K: predict, to_json and draw",
    ]


def test_what_is_written_is_a_data_set(tmp_path: Path):
    masks.write_data(tmp_path, 3)
    data = open_dataset(tmp_path / "truth.json")
    assert len(data) == 3
    assert data.annotations(0).packed.areas.min() > 0
    for what in ("scoring", "peer"):
        masks.ALONE[what](tmp_path, True)
    masks.ALONE["one"](tmp_path, True)
