"""What a training says before it begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from run_files import assert_same_bits

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_images
from dmaskrcnn.training import loop, plan, target_labels, target_look
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.loop import train

Make = Callable[..., TrainConfig]
HERE = torch.device("cpu")


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[TrainConfig], list[str]]:
    def lines(config: TrainConfig) -> list[str]:
        source, target = open_data(config)
        capsys.readouterr()
        plan.announce(config, tmp_path, source, target, HERE)
        return capsys.readouterr().err.splitlines()

    return lines


def test_a_long_training_is_timed(tiny: Make, hazy: Path, said, monkeypatch):
    monkeypatch.setattr(plan, "_timed", lambda step, device: [step(), 7.2][1])
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: 0.0))  # loading takes none
    config = tiny(method="teacher", target=(hazy,), iterations=4000, labeller="train")
    assert said(config) == [
        "plan: about 8.0 h on this machine",
        "  labeller   2400 iterations, the source alone, resnet18 at 96 px     4.8 h",
        "  labelling  6 images at 96 and 144 px, each also mirrored             43 s",
        "  burn-in    800 iterations, the source alone                         1.6 h",
        "  adapt      587 iterations, source and target                       70 min",
        "  fine       213 iterations, source and target, 0.1 times the rate   26 min",
    ]


def test_by_the_clock_a_step_tells_how_many_pictures_are_labelled(tiny, hazy, said, monkeypatch):
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(target_labels, "LEAST", 2)
    monkeypatch.setattr(target_look, "LOOKS", 1)
    config = tiny(method="teacher", target=(hazy,), iterations=0, minutes=10, labeller="self")
    assert config.targets == 2
    # 240 seconds of steps of 30 s, which look at 16 pictures, 4 of them four times
    seconds = {"step": 30.0, "<lambda>": 15.0}
    monkeypatch.setattr(plan, "_timed", lambda step, device: seconds[step.__name__])
    lines = said(config)
    assert lines[0] == "plan: about 11 min on this machine"
    said_of_it = " ".join(lines[4].split())
    assert said_of_it == "labelling about 4 images at 96 and 144 px, each also mirrored 60 s"
    monkeypatch.setattr(plan, "_step_seconds", lambda *_: None)  # several processes
    lines = said(config)
    assert lines[0] == "plan:"
    said_of_it = " ".join(lines[4].split())
    assert said_of_it == "labelling at least 2 images at 96 and 144 px, each also mirrored"


def test_labelling_that_takes_longer_than_training_is_told(tiny, hazy, said, monkeypatch):
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: 0.0))
    config = tiny(method="teacher", target=(hazy,), iterations=400, labeller="self")
    for each, told in ((60.0, False), (70.0, True)):  # six pictures, and a second for each step
        seconds = {"step": 1.0, "<lambda>": each}
        monkeypatch.setattr(plan, "_timed", lambda step, device, s=seconds: s[step.__name__])
        lines = said(config)
        names = [line.split("  ")[1] for line in lines[1:7]]
        assert names == ["burn-in", "adapt", "fine", "labelling", "adapt again", "fine again"]
        assert ("warning: labelling takes longer" in lines[-1]) is told


def test_a_short_one_is_not(tiny: Make, said):
    assert said(tiny(iterations=30)) == [
        "plan:",
        "  classifier  10 iterations, the domain classifier alone",
        "  adapt       15 iterations, source and target",
        "  fine        5 iterations, source and target, 0.1 times the rate",
    ]
    assert said(tiny(method="source", iterations=0, weights="coco", backbone="resnet50")) == []


def test_minutes_are_known(tiny: Make, said):
    assert said(tiny(method="source", minutes=30, iterations=0)) == [
        "plan: about 30 min on this machine",
        "  train  the source alone                       22 min",
        "  fine   the source alone, 0.1 times the rate    8 min",
    ]


@pytest.mark.parametrize("method", ["grl", "oracle", "teacher", "labels"])
def test_every_method_is_timed(tiny: Make, clear: Path, hazy: Path, said, tmp_path: Path, method):
    options = {"method": method, "target": (hazy,), "iterations": 200}
    if method == "oracle":
        options["target"] = (clear,)
    if method == "labels":
        entry = {"category_name": "car", "score": 0.9, "bbox": [10, 10, 30, 20]}
        found = [entry | {"image_id": name} for name in open_images(hazy).image_ids]
        (labels := tmp_path / "labels.json").write_text(json.dumps(found))
        options |= {"method": "teacher", "pseudo_labels": str(labels)}
    lines = said(tiny(**options))
    assert lines[0].startswith("plan: about ")
    assert all(line.endswith((" s", " min")) for line in lines[1:])


def test_timing_changes_no_training(tiny: Make, hazy: Path, monkeypatch):
    monkeypatch.setattr(plan, "LONG", 1)
    options = {"method": "teacher", "target": (hazy,), "iterations": 2}
    timed = train(tiny(**options))
    monkeypatch.setattr(loop, "announce", lambda *_: None)
    assert_same_bits(train(tiny(**options)), timed)
