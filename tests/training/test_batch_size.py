"""``--batch auto``, on machines that only pretend to be full or fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_files import assert_same_bits

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.losses import Losses
from dmaskrcnn.run import Run
from dmaskrcnn.training import batch_size
from dmaskrcnn.training.batch_size import Trial, choose
from dmaskrcnn.training.learner import Learner
from dmaskrcnn.training.loop import resume, train
from dmaskrcnn.training.room import Room, free_memory, resident

Make = Callable[..., TrainConfig]
GIB = 2**30


def machine(seen: list[int], fixed: float, each: float, fastest: int, most: float) -> Any:
    """Trials of a network of ``fixed`` GiB that takes ``each`` an image, on a machine that is
    faster with more of them up to ``fastest``, and refuses more than ``most``."""

    def attempt(count: int) -> Trial:
        seen.append(count)
        if (needed := fixed + each * count) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Trial(needed * GIB, 10.0 * min(count, fastest))

    return attempt


@pytest.mark.parametrize(
    ("each", "fastest", "room", "chosen", "tried", "why"),
    [
        (1.0, 999, 141, 64, [4, 8, 16, 32, 64], "no more are tried"),
        (1.0, 999, 40, 32, [4, 8, 16, 32], "64 would take 65 GiB, 90% of 40 GiB are there"),
        (1.0, 12, 141, 16, [4, 8, 16, 32], "32 are hardly faster, 120 images/s instead of 120"),
        (1.0, 1, 141, 4, [4, 8], "8 are hardly faster, 10 images/s instead of 10"),
        (3.0, 999, 8, 2, [4, 2], "4 take more than 90% of 8 GiB"),
    ],
)
def test_as_many_as_fit_and_are_worth_it(
    each: float, fastest: int, room: int, chosen: int, tried: list[int], why: str
):
    seen: list[int] = []
    attempt = machine(seen, 1.0, each, fastest, room)
    assert choose(attempt, room * GIB, first=4) == (chosen, why)
    assert seen == tried


def test_what_would_not_fit_is_not_tried():
    """Linux ends a program that takes more than there is: none may get there."""
    most = 0.0

    def attempt(count: int) -> Trial:
        nonlocal most
        needed = 2.0 + 0.5 * count
        most = max(most, needed)
        return Trial(needed * GIB, count)

    count, why = choose(attempt, 10 * GIB, first=1)
    assert (count, why) == (8, "16 would take 10 GiB, 90% of 10 GiB are there")
    assert most < 0.9 * 10


def test_not_even_one(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match="one image takes more than 90% of 8 GiB of memory; lower"):
        choose(machine([], 1.0, 7.5, 1, 8), 8 * GIB, first=4)


def refuse(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Passes of more than ``most`` images run out of memory; the sizes of those tried."""
    seen: list[int] = []
    usual = Learner.forward

    def forward(self: Learner, batch: Batch, progress: float) -> Losses:
        seen.append(len(batch.source))
        if len(batch.source) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(self, batch, progress)

    monkeypatch.setattr(Learner, "forward", forward)
    return seen


@pytest.mark.parametrize("method", ["source", "teacher", "grl"])
def test_a_training_measures_once_and_remembers(
    method: str,
    tiny: Make,
    hazy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """It trains to the bit as with the number."""
    target = {} if method == "source" else {"target": (hazy,)}
    options = {"method": method, "iterations": 2, **target}
    seen = refuse(monkeypatch, 2)
    folder = train(tiny(batch="auto", **options))
    said = [line for line in capsys.readouterr().err.splitlines() if "batch auto" in line]
    assert len(said) == 1
    assert said[0].startswith("--batch auto: 2, measured in ")
    assert said[0].endswith(": 4 take more than 90% of " + said[0].split("90% of ")[1])
    assert "; --lr stays 0.001" in said[0]
    assert seen[:2] == [8, 4]  # the preset's, then half of it
    assert set(seen[2:]) == {2}
    assert Run(folder).config["batch"] == 2
    assert_same_bits(folder, train(tiny(batch=2, **options)))
    before = len(seen)
    assert resume(folder) == folder
    assert len(seen) == before


def test_parts_and_companions(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Passes of one step share what is measured; the process with the least room decides."""
    seen = refuse(monkeypatch, 4)
    monkeypatch.setattr(batch_size, "largest", lambda values: values.clamp(min=-1))
    folder = train(tiny(method="source", iterations=1, batch="auto", accumulate=2))
    assert seen[0] == 4  # half of the preset's
    assert Run(folder).config["batch"] == 2
    said = capsys.readouterr().err
    assert "--batch auto: 2, 1 at once, measured in" in said
    assert "another process has room for no more" in said


def test_all_pictures_lie_on_the_largest_canvas(tiny: Make, hazy: Path):
    from dmaskrcnn.training.inputs import open_data

    config = tiny(method="teacher", target=(hazy,), multi_scale=(0.5, 1.5))
    drawn = batch_size._drawn(replace(config, batch="auto"), *open_data(config))
    assert len(drawn.source) == len(drawn.target) == 8
    for sample in (*drawn.source, *drawn.target):
        assert sample.image.shape == (3, 96, 144)
        assert sample.weak is None or sample.weak.shape == (3, 96, 144)
    masks = [s.objects.masks for s in drawn.source if s.objects is not None]
    assert [m.shape[1:] for m in masks] == 8 * [(96, 144)]
    assert all(s.objects is None for s in drawn.target)
    # a labeller's labels are still to come: as many objects as the source has
    config = tiny(method="teacher", target=(hazy,), labeller="train")
    drawn = batch_size._drawn(replace(config, batch="auto"), *open_data(config))
    assert all(s.objects is not None and len(s.objects) for s in drawn.target)


def test_what_this_process_takes_is_counted():
    if not resident("VmHWM"):
        pytest.skip("the system does not say")
    room = Room(torch.device("cpu"))
    room.begin()
    # Linux counts a thread's pages, of up to 2 MB, after every 64
    held = np.ones(400 * 2**20, dtype=np.uint8)
    assert 200 * 2**20 < room.used() < 800 * 2**20
    del held
    room.begin()
    assert room.used() < 200 * 2**20


def test_the_machine_and_its_container(tmp_path: Path):
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:    800 kB\n")
    assert free_memory(tmp_path, tmp_path) == 800 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path, tmp_path) == 800 * 1024
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 50000\n")
    assert free_memory(tmp_path, tmp_path) == 150_000
    (tmp_path / "memory.max").write_text("300000\n")
    assert free_memory(tmp_path, tmp_path) == 0
    assert free_memory(tmp_path / "none", tmp_path / "none") == float("inf")
