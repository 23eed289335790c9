"""What is said of a result that will be, or is, worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dmaskrcnn.config.schedule import WARMUP_SHARE, Phase, Schedule
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.training.final_scores import write_final_scores
from dmaskrcnn.training.loop import train
from dmaskrcnn.training.worth import Pace, doubts_after, doubts_before

Make = Callable[..., TrainConfig]


def preset(name: str = "cpu", **values: Any) -> TrainConfig:
    return TrainConfig.from_preset(name, **{"method": "teacher", "target": "hazy", **values})


def test_warmup_is_a_share_of_the_time_under_minutes():
    phases = (Phase("classifier", 0.2, trains="classifier"), Phase("adapt", 0.8))
    by_time = Schedule(phases, 0, 3.0, warmup=100)
    assert by_time.rate(phases[1], 0, 0.2 + WARMUP_SHARE / 2) == pytest.approx(0.5)
    assert by_time.rate(phases[1], 5, 0.3) == 1.0
    assert by_time.rate(phases[1], 100, 0.21) == 1.0  # or when its iterations are done
    by_iterations = Schedule(phases, 1000, 0.0, warmup=100)
    assert by_iterations.rate(phases[1], 5, 0.9) == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (preset(iterations=80), "gets 80 steps, fewer than the 100 of its warm-up"),
        (preset(iterations=1, burn_in=0.9), "leave no step for the target images"),
        (preset(iterations=150), "the burn-in is 75 steps, fewer than the 100"),
        (preset(iterations=150, burn_in=0.0), "the burn-in is 0 steps, fewer than the 100"),
        (preset(iterations=3000), ""),
        (preset("default", iterations=150), ""),
        (preset(method="grl", iterations=3000), "pyramid that has learnt nothing"),
        (preset("default", method="grl"), ""),
        (preset("paper", method="grl"), "a training with --method source, or coco with"),
        (preset("paper", method="grl", weights="runs/source-1"), ""),
    ],
)
def test_before(config: TrainConfig, said: str):
    doubts = " ".join(doubts_before(config))
    assert said in doubts
    assert bool(said) == bool(doubts)


@pytest.mark.parametrize(
    ("config", "each", "said"),
    [
        (preset(minutes=3), 2.0, "--minutes 3 is time for about 90 iterations here (2.0 s each)"),
        (preset(minutes=3), 0.1, ""),
        (preset("default", minutes=3), 2.0, ""),
        (preset("default", minutes=1, burn_in=0.9), 100.0, "leave no step for the target images"),
        (preset(iterations=3), 9.0, ""),
    ],
)
def test_once_the_pace_is_known(config: TrainConfig, each: float, said: str):
    pace = Pace(config, 0, 0.0)
    doubts = [pace.doubts(i, each * i) for i in range(1, 30)]
    assert sum(map(len, doubts)) == bool(said)
    assert said in " ".join(doubt for said_then in doubts for doubt in said_then)


def state(config: TrainConfig, steps: int, phase: int = -1) -> Any:
    schedule = Schedule(config.phases, config.iterations, config.minutes, config.warmup)
    return SimpleNamespace(
        config=config,
        schedule=schedule,
        iteration=max(1, steps),
        detector_steps=steps,
        phase=config.phases[phase],
        data={"broken": {"source": {3: "a.jpg: cannot"}}} if steps == 7 else {"broken": {}},
    )


ENOUGH = preset(iterations=3000)


@pytest.mark.parametrize(
    ("state", "rows", "best", "said"),
    [
        (state(ENOUGH, 3000), [], 0.9, ""),
        (state(ENOUGH, 0), [], 0.9, "the detector itself was never trained"),
        (state(ENOUGH, 60), [], 0.9, "for 60 steps, fewer than the 100 of its warm-up"),
        (state(preset(minutes=3), 60), [], 0.9, "for 60 steps, fewer than the 100"),
        (state(preset("default", minutes=3), 60), [], 0.9, ""),
        (state(ENOUGH, 200, phase=0), [], 0.9, "ended in the phase 'burn-in'"),
        (state(ENOUGH, 3000), [{"pseudo_labels": "0"}, {}], 0.9, "found 0.00 objects per target"),
        (state(ENOUGH, 3000), [{"pseudo_labels": "0.4"}], 0.9, ""),
        (state(ENOUGH, 3000), [], 0.31, "reaches a score of 0.5; the best is 0.31"),
        (state(ENOUGH, 3000), [], 0.0, "nothing at all was found"),
        (state(preset(iterations=50, warmup=2), 7), [], 0.9, "others stood in for them: a.jpg:"),
    ],
)
def test_after(state: Any, rows: list[dict[str, str]], best: float, said: str):
    doubts = doubts_after(state, rows, best)
    assert len(doubts) == bool(said)
    assert said in " ".join(doubts)


def test_the_last_lines_of_a_training_say_it(
    tiny: Make, clear: Path, capsys: pytest.CaptureFixture[str]
):
    run = train(tiny(method="source", iterations=2, warmup=100, test=(clear,)))
    out, err = capsys.readouterr()
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert "share images" in warnings.pop(0)
    assert "gets 2 steps, fewer than the 100" in warnings[0]
    assert "was trained for 2 steps, fewer than the 100 of its warm-up" in warnings[1]
    assert "no object of the test images was found" in warnings[-1]
    assert err.splitlines()[-1] == warnings[-1]
    assert "VOC AP50" in out
    config = tiny(method="source", test=(clear / "gone",))
    with pytest.raises(Exception, match=f"is finished and saved: {run}; score it with"):
        write_final_scores(run, config, ["of a run"])
    assert "warning: of a run" in capsys.readouterr().err


def test_weights_that_read_at_another_size(tiny: Make):
    start = train(tiny(method="source", iterations=1))
    options = {"weights": str(start), "method": "source", "iterations": 0}
    assert not doubts_before(tiny(**options))
    (doubt,) = doubts_before(tiny(**options, image_size=48))
    assert f"--weights {start} reads pictures at 64 px, what comes of it will at 48" in doubt
    assert not doubts_before(tiny(**options, image_size=48, read_size=64))
