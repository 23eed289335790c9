"""The benchmark of large data, at the size of nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from large_data import main, write_data

from dmaskrcnn.data import open_dataset


def test_what_is_written_is_a_data_set(tmp_path: Path):
    data = open_dataset(write_data(tmp_path, 9, 200))
    assert data.objects is not None
    assert (len(data), len(data.classes)) == (9, 80)
    assert len(data.objects.boxes) == 200
    assert data.objects.crowd.sum() == 3
    sample = data.load(0)
    assert sample.objects is not None
    assert sample.objects.has_mask.all()


def test_both_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = f"large_data.py --share 0.0001 --rounds 2 --folder {tmp_path}".split()
    monkeypatch.setattr(sys, "argv", words)
    main()
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "open_dataset",
        "faster-coco-eval",
        "ratio, round by round",
    ]
    assert all(float(row.split("|")[3]) > 10 for row in rows[2:4])
