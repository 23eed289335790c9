"""A run on disk, from its configuration to its detector, and the folders of several."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dmaskrcnn import Detector
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import folder_name, output_folders
from dmaskrcnn.run import ResultsFile, Run, open_run, run_names


class TestRun:
    def test_new(self, tiny: Callable[..., Any]):
        config = tiny(method="source", seed=3)
        run = Run.create(config)
        assert (run.name, str(run)) == ("source-1", str(config.out / "source-1"))
        assert run.config == config.to_dict()
        assert run.config_text == (run.path / "config.yaml").read_text()
        assert [run.is_logged, run.metrics, run.has_detector, run.finished] == [0, [], 0, 0]
        with pytest.raises(UserError, match=r"model\.json: not found"):
            _ = run.classes
        with pytest.raises(UserError, match=r"model\.json: not found"):
            run.detector("cpu")

    def test_trained(self, run: Path):
        trained = open_run(run)
        assert (trained.classes, trained.has_detector) == (("car", "person"), True)
        assert not trained.is_results
        assert (trained.config, trained.seedless) == ({}, "")  # saved by hand
        image = torch.zeros(3, 64, 96, dtype=torch.uint8)
        found, expected = (
            detector.predict(image, threshold=0.0)
            for detector in (trained.detector("cpu"), Detector.load(run).set_precision())
        )
        assert torch.equal(found.boxes, expected.boxes)

    def test_metrics(self, tmp_path: Path):
        (tmp_path / "metrics.csv").write_text("iteration,loss\n20,0.5\n40,\n")
        run = Run(tmp_path)
        assert run.metrics == [{"iteration": 20.0, "loss": 0.5}, {"iteration": 40.0}]
        written = (tmp_path / "metrics.csv").stat().st_mtime
        assert run.last_logged.timestamp() == pytest.approx(written)

    def test_seeds_of_one_method(self, tiny: Callable[..., Any]):
        first, second, other = (
            Run.create(tiny(method="source", **values))
            for values in ({"seed": 1}, {"seed": 2, "workers": 0}, {"seed": 2, "lr": 0.5})
        )
        assert first.seedless == second.seedless != other.seedless

    def test_configuration_of_another_version(self, tiny: Callable[..., Any]):
        run = Run.create(tiny(method="source"))
        before, values = run.config, yaml.safe_load(run.config_text)
        del values["warmup"]
        (run.path / "config.yaml").write_text(yaml.safe_dump(values | {"later_field": 3}))
        assert run.config == values | {"later_field": 3}
        (run.path / "config.yaml").write_text(yaml.safe_dump(values))
        assert set(run.config) == set(before)
        (run.path / "config.yaml").write_text("a: [1")
        with pytest.raises(UserError, match=r"config\.yaml: not a readable YAML file"):
            _ = run.config

    def test_damaged_description(self, run: Path, tmp_path: Path):
        copy = Run(Path(shutil.copytree(run, tmp_path / "copy")))
        for text in ("hello", "[1]", "{}", '{"weights": []}'):
            (copy.path / "model.json").write_text(text)
            assert (copy.weights_said, copy.finished) == ("", False)
            with pytest.raises(UserError, match=r"model\.json: not a detector's description"):
                _ = copy.classes


def test_results_file(tmp_path: Path):
    run = open_run(tmp_path / "yolo.v8.json")
    assert isinstance(run, ResultsFile)
    assert run == open_run(run.path) != Run(run.path)
    assert (run.name, run.is_results, run.classes, run.config) == ("yolo.v8", True, (), {})
    assert (run.metrics, run.weights_said, run.has_detector) == ([], "", False)


def test_names_tell_runs_apart():
    paths = ("a/grl-1", "b/grl-1", "yolo.json", "c/x", "c/x")
    assert run_names(list(map(open_run, paths))) == ["a-grl-1", "b-grl-1", "yolo", "c-x-4", "c-x-5"]


def test_output_folders(tmp_path: Path):
    data = [Path("fog/test")]
    a, b, other = map(open_run, ("a/grl-1", "b/grl-1", "a/results.json"))
    assert output_folders([a, other], data, None) == [a.path / "evaluate-fog-test", None]
    assert output_folders([a], data, tmp_path) == [tmp_path]
    assert output_folders([a, other], data, tmp_path) == [tmp_path / "grl-1", tmp_path / "results"]
    assert output_folders([a, b], data, tmp_path) == [tmp_path / "a-grl-1", tmp_path / "b-grl-1"]
    twice = output_folders([a, a], data, tmp_path)
    assert len(set(twice)) == 2
    assert output_folders([Run(Path("run-0.1")), Run(Path("run-0.2"))], data, tmp_path) == [
        tmp_path / "run-0.1",
        tmp_path / "run-0.2",
    ]


def test_folder_name():
    assert folder_name([Path("/data/dawn fog/test/")]) == "dawn-fog-test"
    assert (
        folder_name([Path("coco/instances_val.json"), Path("/fog-1.5")])
        == "coco-instances_val-fog-1.5"
    )
    assert folder_name([Path(".")]) == folder_name([Path.cwd()])
    assert folder_name([Path("/")]) == "data"


def test_the_weights_scored_are_named(run: Path, tmp_path: Path):
    detector = Detector.load(run)
    for method, weights, finished, expected in (
        ("teacher", "ema", True, "the teacher: averaged weights (EMA), iteration 1,500"),
        ("source", "ema", False, "averaged weights (EMA), iteration 1,500, training not finished"),
        ("teacher", "last", True, "weights of the last iteration, iteration 1,500"),
    ):
        detector.save(tmp_path, method=method, weights=weights, iteration=1500, finished=finished)
        assert Run(tmp_path).weights_said == expected
    for path in (run, tmp_path / "missing", tmp_path / "model.json"):
        assert open_run(path).weights_said == ""
