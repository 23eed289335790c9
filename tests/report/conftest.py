"""Scenes and runs that the tests of the report share."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_cases import write_run

from dmaskrcnn.demo import write_scenes

DOMAIN = {"alignment/domain": 0.7, "domain_accuracy": 0.5}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scenes")
    fog = {"size": (64, 96), "visibility": (60.0, 150.0)}
    return {
        "source": write_scenes(folder / "source", 12, seed=11, size=(64, 96)),
        "target": write_scenes(folder / "target", 12, seed=12, labelled=False, **fog),
        "test": write_scenes(folder / "test", 8, seed=13, **fog),
    }


@pytest.fixture(scope="session")
def runs(scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A baseline and two seeds of an adapted method."""
    folder = tmp_path_factory.mktemp("runs")
    source, target = scenes["source"], scenes["target"]
    return [
        write_run(folder / "baseline-1", source, None),
        write_run(
            folder / "grl-1",
            source,
            target,
            seed=1,
            pseudo_labels=3.0,
            **DOMAIN,
        ),
        write_run(folder / "grl-2", source, target, seed=2, **DOMAIN),
    ]
