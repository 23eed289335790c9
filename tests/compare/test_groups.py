"""Which runs are taken for seeds of one method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dmaskrcnn.compare.groups import group_runs
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import Run, open_run


@pytest.fixture
def make(tmp_path: Path):
    """A run folder with the configuration of a training."""

    def run(folder: str, **values: Any) -> Path:
        path = tmp_path / folder
        path.mkdir(parents=True)
        values = {"method": "grl"} | values
        targets = {} if values["method"] == "source" else {"target": (Path("hazy"),)}
        config = TrainConfig.from_preset("demo", source="clear", **targets, **values)
        (path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
        return path

    return run


def names(runs: list[Path]) -> dict[str, list[str]]:
    return {
        group.name: [run.name for run in group.runs]
        for group in group_runs(list(map(open_run, runs)))
    }


def test_only_what_differs_in_nothing_but_the_seed(make):
    runs = [
        make("grl-2", seed=5, device="cpu", workers=2),
        make("source-1", method="source"),
        make("grl-1", seed=3, out=Path("elsewhere"), test=(Path("fog"),)),
        make("grl-3", seed=4, grl_lambda=0.2),
    ]
    assert names(runs) == {
        "grl-1, grl-2": ["grl-1", "grl-2"],
        "source": ["source-1"],
        "grl-3": ["grl-3"],
    }
    assert names(runs[:3]) == {"grl": ["grl-1", "grl-2"], "source": ["source-1"]}  # by seed


def test_the_same_seed_twice_is_not_two_seeds(make):
    runs = [make("grl-1", seed=1), make("grl-2", seed=1), make("grl-3", seed=2)]
    assert names(runs) == {"grl-1": ["grl-1"], "grl-2": ["grl-2"], "grl-3": ["grl-3"]}


def test_starts_may_be_seeds_too(make):
    first, second, longer = (
        make(f"start-{i}", method="source", seed=i, iterations=n)
        for i, n in ((0, 100), (1, 100), (2, 200))
    )
    a, b, c = (
        make(f"grl-{i}", seed=i, weights=str(start))
        for i, start in enumerate((first, second, longer))
    )
    assert names([a, b, c]) == {"grl-0, grl-1": ["grl-0", "grl-1"], "grl-2": ["grl-2"]}
    d, e = make("x-1", seed=0, weights="scratch"), make("x-2", seed=1, weights="imagenet")
    assert len(group_runs([Run(d), Run(e)])) == 2
    f, g = (make(f"y-{i}", seed=i, weights=f"gone-{i}.safetensors") for i in (0, 1))
    assert len(group_runs([Run(f), Run(g)])) == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (("grl-s0", "grl-s1"), "grl"),
        (("fog seed 10", "fog seed 11"), "fog"),
        (("methods1", "methods2"), "methods"),
        (("a", "b"), "grl"),
        (("same", "same"), "same"),
    ],
)
def test_names(make, given: tuple[str, str], shown: str):
    assert list(names([make(f"run-{i}", seed=i, name=name) for i, name in enumerate(given)])) == [
        shown
    ]


def test_detectors_without_a_configuration(make, tmp_path: Path):
    for name in ("a/x", "b/x"):
        (tmp_path / name).mkdir(parents=True)
    runs = [tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "yolo.json"]
    assert list(names(runs)) == ["a-x", "b-x", "yolo"]
    (runs[0] / "config.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"config\.yaml: not a readable YAML file"):
        names(runs)


def test_configurations_of_other_versions(make):
    runs = [make("grl-1", seed=0), make("grl-2", seed=1), make("grl-3", seed=2)]
    for run, change in zip(runs, ({"warmup": None}, {}, {"later_field": 3}), strict=True):
        values = yaml.safe_load((run / "config.yaml").read_text()) | change
        (run / "config.yaml").write_text(
            yaml.safe_dump({k: v for k, v in values.items() if v is not None})
        )
    assert names(runs) == {"grl-1, grl-2": ["grl-1", "grl-2"], "grl-3": ["grl-3"]}
