from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.config.train import TrainConfig, read_yaml
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError


def make(**values: Any) -> TrainConfig:
    paths: dict[str, Any] = {"source": (Path("clear"),), "target": (Path("hazy"),)}
    return TrainConfig.from_preset(**(paths | values))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "preset": (
        {"preset": "fast"},
        "preset: 'fast' is unknown; choose one of cpu, mobile, default, v2, paper, demo",
    ),
    "no target": ({"target": ()}, "--method teacher needs --target"),
    "no target images": ({"target_batch": -1}, "--target-batch must not be negative"),
    "target of source": ({"method": "source", "target_batch": 2}, "--target-batch has no use"),
    "both lengths": ({"minutes": 1.0, "iterations": 5}, "--minutes and --iterations"),
    "no batch": ({"batch": 0}, "--batch must be above 0"),
    "batch in words": ({"batch": "all"}, "batch: 'all' is not a whole number, nor auto"),
    "half a batch": ({"batch": 2.5}, "batch: 2.5 is not a whole number, nor auto"),
    "target of auto": (
        {"batch": "auto", "target_batch": 3, "accumulate": 2},
        "--target-batch 3 must be a multiple",
    ),
    "accumulate": ({"batch": 4, "accumulate": 3}, "--batch 4 must be a multiple of --accumulate 3"),
    "accumulate target": (
        {"batch": 4, "target_batch": 3, "accumulate": 2},
        "--target-batch 3 must be a multiple",
    ),
    "iterations": ({"iterations": -1}, "--iterations must not be negative"),
    "minutes": ({"minutes": float("nan")}, "--minutes must not be negative"),
    "endless": ({"minutes": float("inf")}, "--minutes must be finite"),
    "name": ({"name": "a/b"}, "--name 'a/b' must be a plain name"),
    "rate": ({"lr": -1.0}, "--lr must be above 0"),
    "nan rate": ({"lr": float("nan")}, "--lr must be above 0"),
    "lambda": ({"grl_lambda": float("nan")}, "--grl-lambda must not be negative"),
    "seed": ({"seed": -1}, "--seed must not be negative"),
    "ema": ({"method": "grl", "ema": 1.0}, "--ema must be in"),
    "sizes": ({"image_size": 900, "max_size": 800}, "raise --max-size or lower --image-size"),
    "image size": ({"image_size": 0}, "--image-size must be at least 1"),
    "width": ({"fpn_channels": -4}, "--fpn-channels must be at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_name_the_flag(case: str):
    values, message = BAD[case]
    with pytest.raises(UserError) as error:
        make(**values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", ["source", "grl"])
def test_every_preset_survives_yaml(preset: str, method: str):
    config = make(
        preset=preset,
        method=method,
        target=(Path("hazy"),) if method == "grl" else (),
        classes=("car", "bus"),
    )
    again = TrainConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict())))
    assert again == config
    assert again.detector == config.detector
    assert config.targets == (config.batch if method == "grl" else 0)


def test_a_batch_that_is_to_be_measured_survives_yaml():
    config = make(batch="auto")
    assert (config.sources, config.targets) == (0, 0)
    assert TrainConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


def test_presets_fill_only_what_is_not_given():
    config = make(preset="cpu", lr=0.5, fpn_channels=64)
    assert (config.lr, config.detector.fpn_channels) == (0.5, 64)
    assert (config.optimizer, config.iterations) == ("adamw", 3_000)
    assert make(preset="cpu", minutes=2.0).iterations == 0


def test_scratch_trains_every_stage_with_ordinary_norms():
    detector = make(preset="cpu", weights="scratch").detector
    assert (detector.norm, detector.trainable_layers) == ("batch", 5)


def test_unknown_fields_name_the_nearest():
    with pytest.raises(UserError, match="unknown field 'itertions'; did you mean iterations"):
        TrainConfig.from_dict({"itertions": 3})
    with pytest.raises(UserError, match="detector config: unknown field 'colour'"):
        DetectorConfig.from_dict({"colour": 3})


def test_detector_config_survives_lists():
    config = DetectorConfig(anchor_sizes=(1, 2, 3, 4, 5))
    values = {
        k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()
    }
    assert DetectorConfig.from_dict(values) == config
    with pytest.raises(UserError, match="anchor_sizes"):
        DetectorConfig(anchor_sizes=(1, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [1, 2", "not a readable YAML file"),
        (b"\xff\xfe\x00", "not a readable YAML file"),
        (b"- a\n- b\n", "holds no fields"),
        (b"", "holds no fields"),
        (b"!!python/object/apply:os.system ['true']", "not a readable YAML file"),
    ],
)
def test_bad_yaml_names_the_file(tmp_path: Path, text: bytes, message: str):
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_missing_yaml_names_the_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"gone\.yaml: not a readable YAML file .*No such file"):
        read_yaml(tmp_path / "gone.yaml")
