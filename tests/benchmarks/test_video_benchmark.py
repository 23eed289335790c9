"""`benchmarks/video.py` runs: on a tiny detector and a tiny video, a round."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("av", reason="needs dmaskrcnn[video]")

import video


def test_the_whole_and_its_parts_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file, threads = tmp_path / "times.json", torch.get_num_threads()
    words = ["--tiny", "--rounds", "2", "--threshold", "0.2", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["", *words])
    video.main()
    result = json.loads(file.read_text())
    assert result["frames"] == 10
    assert list(result["seconds"]) == ["network", "predict", *result["parts"]]
    assert all(len(times) == 2 and times[0][0] > 0 for times in result["seconds"].values())
    said = capsys.readouterr().out
    for name in ("network", "predict", "read, alone", "encode, alone", "predict / network"):
        assert f"\n| {name} |" in said
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("values", "interval"),
    # 1 - 2/2^6 = 97 % and 1 - 20/2^9 = 96 %; no pair of three values holds it as surely
    [([3.0, 1.0, 2.0], (1.0, 3.0)), (list(range(6)), (0, 5)), (list(range(9)), (1, 7))],
)
def test_interval_of_the_median(values: list[float], interval: tuple[float, float]):
    assert video.median_interval(values) == interval
