"""Fixtures shared by the tests: a handful of rendered scenes, and a configuration that trains in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmaskrcnn.config import TrainConfig
from dmaskrcnn.scenes import write_scenes

SIZE = (64, 96)


@pytest.fixture(scope="session")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled clear scenes."""
    return write_scenes(tmp_path_factory.mktemp("clear"), 6, seed=1, size=SIZE)


@pytest.fixture(scope="session")
def hazy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six unlabelled hazy scenes."""
    return write_scenes(tmp_path_factory.mktemp("hazy"), 6, seed=2, size=SIZE, visibility=(40, 80), labelled=False)


@pytest.fixture
def tiny(clear: Path, hazy: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A training configuration of a few iterations on the scenes; keywords override."""

    def make(**overrides: Any) -> TrainConfig:
        method = overrides.get("method", "grl")
        values: dict[str, Any] = {
            "method": method,
            "preset": "demo",
            "source": (clear,),
            "target": (hazy,) if method == "grl" else (),
            "out": tmp_path / "runs",
            "iterations": 6,
            "batch": 2,
            "image_size": 64,
            "max_size": 96,
            "fpn_channels": 16,
            "warmup": 2,
            "workers": 0,
            "precision": "float32",
            "device": "cpu",
        }
        return TrainConfig(**(values | overrides))

    return make
