"""What `dmaskrcnn reproduce` refuses before it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from disk import contents

from dmaskrcnn.compare import reproduce as room
from dmaskrcnn.compare.reproduce import reproduce
from dmaskrcnn.data import open_images
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


def test_groups_are_for_the_clear_images_too(
    arguments: dict[str, Any],
    pretended: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[str] = []

    def compared(*_: Any, groups: str, **__: Any):
        asked.append(groups)
        raise UserError("that is enough")

    monkeypatch.setattr(room, "compare_rows", compared)
    test, clear = arguments["test"][0], Path(shutil.copytree(arguments["test"][0], tmp_path / "c"))
    arguments.update(clear=[clear], groups="folder")
    with pytest.raises(UserError, match="that is enough"):
        reproduce(**arguments)
    assert asked == ["folder"]
    assert pretended
    groups, root = tmp_path / "groups.json", test.parent
    names = [path.relative_to(root).as_posix() for path in open_images(test).paths]
    groups.write_text(json.dumps(dict.fromkeys(names, "one")))
    arguments["groups"] = str(groups)
    with pytest.raises(UserError, match=rf"has no group for .* \(said of --clear {clear}: "):
        reproduce(**arguments)


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


def test_a_picture_that_breaks_only_when_decoded(
    arguments: dict[str, Any],
    pretended: list[str],
    hazy: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    own = Path(shutil.copytree(hazy, tmp_path / "own"))
    cut = sorted(path for path in own.rglob("*") if path.suffix in (".png", ".jpg"))[2]
    cut.write_bytes(cut.read_bytes()[:400])
    with pytest.raises(UserError, match=rf"{cut.name}: "):
        reproduce(**arguments | {"target": [own]})
    assert pretended == []
    shutil.rmtree(arguments["out"])
    reproduce(**arguments | {"target": [own], "drop_invalid": True})
    assert f"left out: 1 of 6 pictures: {cut}: " in caplog.text
    assert len(list((arguments["out"] / "target-mscnn").glob("*.png"))) == 5
    assert pretended
