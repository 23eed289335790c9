"""What `dmaskrcnn reproduce` refuses before it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from disk import contents

from dmaskrcnn.compare.reproduce import reproduce
from dmaskrcnn.errors import UserError
from dmaskrcnn.output_folder import OutputFolder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": 0.0}, "--budget must be above 0"),
        ({"budget": float("nan")}, "--budget must be above 0"),
        ({"seeds": ()}, "--seeds is empty"),
        ({"seeds": (1, 1)}, "--seeds 1 1: give at least one, and each once"),
        ({"seeds": (-1,)}, "--seed must not be negative"),
        ({"bootstrap": -1}, "--bootstrap must not be negative"),
        ({"source": [Path("gone")]}, "gone: no such file or folder"),
        ({"target": [Path("gone")]}, "gone: no such file or folder"),
        ({"test": [Path("gone")]}, "gone: no such file or folder"),
        ({"weights": "gone.pth"}, r"gone\.pth: no such weights file"),
        ({"aod_net_weights": Path("gone.pth")}, r"gone\.pth: no such weights file"),
        ({"device": "gpu"}, "--device gpu: not available here"),
    ],
)
def test_bad_input_leaves_nothing(
    arguments: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
):
    with pytest.raises(UserError, match=said):
        reproduce(**arguments | change)
    assert not (tmp_path / "out").exists()


def test_comparison_keeps_its_table(arguments: dict[str, Any], pretended: list[str]):
    OutputFolder(arguments["out"], "compare", "comparison.json").end({})
    with pytest.raises(UserError, match="out: holds a comparison, whose table would be replaced"):
        reproduce(**arguments)
    assert pretended == []
    assert len(contents(arguments["out"])) == 1


def test_data_without_labels(arguments: dict[str, Any], hazy: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"--source .*: holds images but no labels"):
        reproduce(**arguments | {"source": [hazy]})
    with pytest.raises(UserError, match=r"hazy0?: holds images but no labels"):
        reproduce(**arguments | {"test": [hazy]})
    assert not (tmp_path / "out").exists()
