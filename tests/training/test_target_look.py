"""What was found in the target before and after, and what of it looks like harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from predict_cases import LeftHalf

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_images
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.training import target_look
from dmaskrcnn.training.loop import resume, train
from dmaskrcnn.training.target_look import BEFORE, FOUND, Found, harm

Make = Callable[..., TrainConfig]


def found(score: float = 0.7, pictures: int = 10, **classes: int) -> Found:
    return Found(0, pictures, score, classes)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (found(car=10, bus=5), found(car=30, bus=6), ""),
        (found(car=10), found(car=4), "finds 0.4 objects per target picture, 1.0 before"),
        (found(car=10), found(), "finds 0.0 objects per target picture, 1.0 before"),
        (found(0.9, car=10), found(0.8, car=31), "finds 3.1 objects per target picture, 1.0 be"),
        (found(0.7, car=10), found(0.8, car=31), ""),
        (found(car=20, bus=6), found(car=25, bus=1), "of bus hardly any is found any more"),
        (found(car=4), found(), ""),  # too few to tell
        (found(), found(car=50), ""),
        (found(), found(0.9, car=51), "5.1 objects per target picture, 0.0 before, too many"),
        (found(0.5, car=6), found(0.7, bus=61), "finds 6.1 objects per target picture, 0.6 before"),
    ],
)
def test_harm(before: Found, after: Found, said: str):
    doubts = harm(before, after)
    assert said in " ".join(doubts)
    assert len(doubts) == bool(said)


def test_found_in_pictures_spread_over_the_target(hazy: Path, monkeypatch):
    target, looked = open_images(hazy), LeftHalf(0.75)

    class One(LeftHalf):
        def predict(self, image, threshold):
            (only,) = looked.predict([image], threshold)
            return only

    monkeypatch.setattr(target_look, "LOOKS", 3)
    assert Found.by(One(), target, 5) == Found(5, 3, 0.75, {"car": 3})
    looked.score = 0.4
    assert Found.by(One(), target, 5) == Found(5, 3, 0.0, {})


def test_before_is_when_the_target_comes_in(tiny: Make, hazy: Path, capsys):
    options = {"method": "teacher", "target": (hazy,), "iterations": 4, "burn_in": 0.5}
    run = train(tiny(**options))
    looks = json.loads((run / FOUND).read_text())
    assert [found["iteration"] for found in looks["found"]] == [2, 4]
    assert [found["pictures"] for found in looks["found"]] == [6, 6]
    assert looks["images"] == open_images(hazy).image_ids
    with Image.open(run / BEFORE) as before, Image.open(run / "pictures.jpg") as after:
        assert before.size == after.size
    said = capsys.readouterr().err
    assert "found in 6 target pictures, scores of 0.5 and more:" in said
    assert "objects per picture" in said
    assert max(map(len, said[said.index("found in 6") :].splitlines()[:4])) <= 80
    assert resume(run) == run  # the end is looked at again
    assert len(json.loads((run / FOUND).read_text())["found"]) == 2
    capsys.readouterr()
    (run / FOUND).write_text("{}")  # damaged
    assert resume(run) == run
    assert "found in 6" not in capsys.readouterr().err


def test_norms_alone_are_looked_at_too(tiny: Make, hazy: Path):
    start = train(tiny(method="source", iterations=2))
    assert not (start / FOUND).exists()
    values = {"weights": str(start), "iterations": 0, "adabn": 0.5, "target": (hazy,)}
    run = train(tiny(method="source", **values))
    assert len(json.loads((run / FOUND).read_text())["found"]) == 2
    run = train(tiny(method="source", **(values | {"iterations": 2})))  # not what training changed
    assert json.loads((run / FOUND).read_text())["found"][0]["iteration"] == 2


def test_all_that_is_said_is_of_the_size_at_which_the_result_reads(
    tiny: Make, hazy: Path, monkeypatch
):
    sizes = []
    resize = Detector.resize
    monkeypatch.setattr(
        Detector, "resize", lambda self, image: sizes.append(self.config) or resize(self, image)
    )
    options = {"method": "teacher", "target": (hazy,), "burn_in": 0.0, "adabn": 0.5}
    run = train(tiny(**options, iterations=1, image_size=64, read_size=48))
    assert {config.image_size for config in sizes} == {48}
    assert Detector.load(run).config.image_size == 48


def test_both_rounds_are_looked_at_at_one_size(tiny: Make, hazy: Path, monkeypatch):
    sizes = []
    found = Found.by.__func__

    def by(cls, detector, *arguments):
        sizes.append(detector.config.image_size)
        return found(cls, detector, *arguments)

    monkeypatch.setattr(Found, "by", classmethod(by))
    options = {"method": "teacher", "target": (hazy,), "burn_in": 0.0, "labeller": "self"}
    run = train(tiny(**options, iterations=2, image_size=64, read_size=48))
    assert sizes == [48] * 3
    assert Detector.load(run / "labeller-1").config.image_size == 48


def test_an_untrained_start_was_not_harmed(tiny: Make, hazy: Path, monkeypatch, capsys):
    monkeypatch.setattr("dmaskrcnn.training.target_look.harm", lambda *_: ["looks like harm"])
    train(tiny(method="grl", target=(hazy,), iterations=2))
    start = train(tiny(method="source", iterations=1))
    assert "looks like harm" not in capsys.readouterr().err
    train(tiny(method="grl", target=(hazy,), iterations=2, weights=str(start)))
    assert "looks like harm" in capsys.readouterr().err
