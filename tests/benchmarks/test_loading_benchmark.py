"""The benchmark of loading, at the size of nothing."""

from __future__ import annotations

import sys

import loading
import pytest


def test_all_ways_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["loading.py", "--tiny"])
    monkeypatch.setattr(loading, "alone", lambda *_: 1.0)  # processes of its own
    loading.main()
    rows = [row.split("|")[1].strip() for row in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [name for names in loading.ROWS.values() for name in names]


def test_the_memory_of_a_way(tmp_path) -> None:
    loading.write_data(tmp_path, True)
    assert loading.peak_of(tmp_path, loading.ROWS["decoding"][1], True) >= 0
