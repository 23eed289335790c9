"""The benchmark of synthetic haze: whether it tells what looks alike."""

from __future__ import annotations

import sys
from pathlib import Path

import haze
import numpy as np
import pytest
import torch
from PIL import Image


def test_haze_of_their_air_is_as_noisy_as_theirs(
    clear: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    rng = np.random.default_rng(0)
    for number in range(8):  # fog in the dark, noisier than any in the ranges
        fog = 100 + rng.uniform(8, 20) * rng.standard_normal((96, 128, 1)).repeat(3, 2)
        Image.fromarray(fog.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    options = f"--scenes 0 --like {tmp_path} --source {clear} --image-size 96"
    monkeypatch.setattr(sys, "argv", ["haze.py", *options.split()])
    threads = torch.get_num_threads()
    try:
        haze.main()
    finally:
        torch.set_num_threads(threads)
    rows = [row.split("|")[1:] for row in capsys.readouterr().out.splitlines()]
    noise = rows[0].index(" noise ")
    shares = {row[0].strip(): float(row[noise].split(";")[1]) for row in rows[3:]}
    assert shares["haze of any air"] == 1
    assert 0.1 < shares["haze of their air"] < 0.9


def test_looks_are_what_they_say():
    falling = torch.linspace(200, 100, 80).byte()[None, :, None].expand(3, 80, 90).contiguous()
    airlight, top, contrast, detail, noise, haziness = haze.looks(falling)
    assert airlight == pytest.approx(200 / 255, abs=0.05)
    assert top == pytest.approx(0.75 * 100 / 255, abs=0.01)
    assert contrast == pytest.approx(100 / 255 / np.sqrt(12), rel=0.05)
    assert detail < 0.01
    assert noise < 0.005
    assert haziness > 0.5
