"""Runs that compare well, and what is counted or left out while they do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluation_cases import save_detector

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main
from dmaskrcnn.compare import reproduce as room
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.run import Run

TWO = 2 / 75_000  # of the paper's budget: two iterations


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [save_detector(folder / "source-1", seed=0), save_detector(folder / "grl-1", seed=1)]


@pytest.fixture
def own(runs: list[Path], clear: Path, tmp_path: Path) -> tuple[list[Path], Path]:
    """Copies of runs and test set that a test may change."""
    copies = [Path(shutil.copytree(run, tmp_path / "runs" / run.name)) for run in runs]
    return copies, Path(shutil.copytree(clear, tmp_path / "test"))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the images that were dehazed and those that were looked at by a detector."""
    counts = {"dehazed": 0, "detected": 0}
    dehaze, predict = Dehazer.__call__, Detector.predict

    def counted_dehaze(self: Dehazer, images: torch.Tensor) -> Any:
        counts["dehazed"] += 1
        return dehaze(self, images)

    def counted_predict(self: Detector, images: Any, *others: Any, **options: Any) -> Any:
        counts["detected"] += len(images)
        return predict(self, images, *others, **options)

    monkeypatch.setattr(Dehazer, "__call__", counted_dehaze)
    monkeypatch.setattr(Detector, "predict", counted_predict)
    return counts


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as it should, and return its message."""

    def run(*arguments: object, said_before: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["compare", *map(str, arguments)])
        said = capsys.readouterr()
        assert (stop.value.code, said.out, said.err.count("\n")) == (2, "", 1 + said_before), (
            said.err
        )
        return said.err.splitlines()[-1].removeprefix("dmaskrcnn: ")

    return run


@pytest.fixture
def arguments(clear: Path, hazy: Path, tmp_path: Path) -> dict[str, Any]:
    sets = {"source": [clear], "target": [hazy], "test": [clear]}
    return {
        **sets,
        "budget": TWO,
        "seeds": (0,),
        "preset": "demo",
        "out": tmp_path / "out",
        "bootstrap": 5,
        "device": "cpu",
    }


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of trainings that do not take place but leave behind what a finished one does.
    Nothing is compared after it."""
    seen: list[str] = []

    def pretend(config: TrainConfig) -> Path:
        seen.append(str(config.name))
        folder = Run.create(config).path
        (folder / "model.json").write_text('{"finished": true}')
        (folder / "last.pt").touch()
        return folder

    monkeypatch.setattr(room, "train", pretend)
    monkeypatch.setattr(room, "resume", lambda _: pytest.fail("resumed what is finished"))
    monkeypatch.setattr(room, "compare_rows", lambda plans, *_, **__: plans)
    return seen
