"""Parts of the benchmark of several processes; that starts Ray and torchrun by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import children, memory_of, pictures, rate, seconds_per_iteration
from PIL import Image


def test_pictures_are_few_under_many_names(tmp_path: Path):
    files = sorted(pictures("tiny", 25, tmp_path / "many").iterdir())
    assert len(files) == 25
    assert files[0].samefile(files[20])
    with Image.open(files[24]) as picture:
        assert picture.size == (96, 64)


def test_the_start_of_a_training_does_not_count(tmp_path: Path):
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("iteration,seconds\n20,30.0\n40,50.0\n60,70.0\n")
    assert seconds_per_iteration(metrics) == 1.0


def test_the_start_of_a_prediction_does_not_count(tmp_path: Path):
    files = [tmp_path / str(number) for number in range(8)]
    for number, file in enumerate(files):
        file.touch()
        os.utime(file, (0, (100 if number > 1 else 0) + 2 * number))
    assert rate(files, 80) == 80 * 6 / 8 / (100 + 14 - 2)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_memory_of_all_processes():
    words = [sys.executable, "-c", "print(1, flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in children(os.getpid())
        assert memory_of(child.pid) > 1000
        child.communicate(b"\n")
    assert memory_of(child.pid) == 0
