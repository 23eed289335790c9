"""Values that can have no effect beside the others are refused; what a run began with is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dmaskrcnn.cli.training import parse_training
from dmaskrcnn.cli.training_verbs import Adapt, Train
from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError

BASE = {"source": "clear", "target": "hazy", "device": "cpu"}
TEACHER = {"method": "teacher"}
LABELLED = TEACHER | {"pseudo_labels": "other.json"}
IDLE: dict[str, tuple[dict[str, Any], str]] = {
    "lambda": (TEACHER | {"grl_lambda": 0.3}, "--grl-lambda has no use without --align: add that"),
    "ramp": (TEACHER | {"grl_ramp": True}, "--grl-ramp has no use without --align"),
    "classifier": (TEACHER | {"classifier": "paper"}, "--classifier has no use without --align"),
    "reverse": (TEACHER | {"grl_reverse": "always"}, "--grl-reverse has no use without --align"),
    "on": (TEACHER | {"grl_on": "both"}, "--grl-on has no use without --align"),
    "rate": (TEACHER | {"classifier_lr": 0.5}, "--classifier-lr has no use without a domain"),
    "clip": (
        {"method": "source", "target": (), "classifier_clip": 2.0},
        "--classifier-clip has no use without a domain classifier",
    ),
    "instances": (
        {"method": "grl", "grl_on": "instance", "classifier": "paper"},
        "--classifier has no use with --grl-on instance",
    ),
    "trust": (TEACHER | {"trust": "labels"}, "--trust has no use without --pseudo-labels, or"),
    "rounds": (
        TEACHER | {"labeller": "self", "trust": "labels"},
        "--trust has no use without --pseudo-labels, or",
    ),
    "threshold": (
        TEACHER | {"pseudo_threshold": 0.6},
        "--pseudo-threshold has no use without --labeller or --pseudo-labels",
    ),
    "boxes": (LABELLED | {"distil_boxes": True}, "--distil-boxes has no use with labels of an"),
    "share": (
        TEACHER | {"labeller": "runs/x-1", "labeller_share": 0.3},
        "--labeller-share has no use without --labeller self or train",
    ),
    "nothing": (
        TEACHER | {"labeller": "self", "iterations": 0, "weights": "runs/x-1", "adabn": 0.5},
        "--labeller has no use with --iterations 0",
    ),
    "groups": (TEACHER | {"groups": "folder"}, "--groups has no use without --test"),
}


@pytest.mark.parametrize("case", IDLE)
def test_what_has_no_effect_is_refused(case: str):
    values, message = IDLE[case]
    with pytest.raises(UserError, match=f"^{message}") as error:
        TrainConfig.from_preset(**(BASE | values))
    assert "leave it out" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        TEACHER | {"grl_lambda": 0.1},  # the default
        TEACHER | {"align": True, "grl_on": "both", "classifier": "paper", "classifier_lr": 0.5},
        LABELLED | {"pseudo_threshold": 0.6, "trust": "labels"},
        TEACHER | {"labeller": "train", "labeller_share": 0.3, "trust": "labels"},
        TEACHER | {"labeller": "self", "distil_boxes": True},
        LABELLED | {"labeller": "self", "trust": "labels"},
        TEACHER | {"groups": "folder", "test": "test"},
        {"method": "grl", "classifier": "paper", "classifier_clip": 2.0},
    ],
)
def test_what_has_an_effect_passes(values: dict[str, Any]):
    TrainConfig.from_preset(**(BASE | values))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("verb", [Train, Adapt])
def test_defaults_pass(preset: str, verb: type):
    """Those of a preset may be others than a setting's own: the classifier of `paper`."""
    words = ["--source", "clear", "--target", "hazy", "--preset", preset]
    for more in ([], ["--method", "teacher", "--ema", "0.99"], ["--method", "grl"]):
        if preset != "paper" or more:  # which has no average
            parse_training(verb, [*words, *more])


@pytest.mark.parametrize("verb", [Train, Adapt])
def test_of_every_way_to_say_it(verb: type, tmp_path: Path):
    words = ["--source", "clear", "--target", "hazy"]
    with pytest.raises(UserError, match="--grl-ramp has no use"):
        parse_training(verb, [*words, "--grl-ramp"])
    file = tmp_path / "config.yaml"
    file.write_text("grl_lambda: 0.2")
    with pytest.raises(UserError, match="--grl-lambda has no use"):
        parse_training(verb, [*words, "--config", str(file)])


def test_a_run_goes_on_with_what_it_began_with():
    values = TrainConfig.from_preset(**(BASE | TEACHER)).to_dict()
    assert TrainConfig.from_dict(values | {"grl_lambda": 0.3, "trust": "labels"})
