"""Folders that are no export, or not whole: one line that says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmaskrcnn.errors import UserError
from dmaskrcnn.export import load
from dmaskrcnn.runtime import sessions
from dmaskrcnn.runtime.description import is_export


@pytest.fixture
def copy(onnx_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(onnx_folder, tmp_path / "copy"))


def change(folder: Path, **values: Any) -> None:
    said = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(said | values))


DAMAGE: list[tuple[Callable[[Path], Any], str]] = [
    (lambda f: change(f, format="dmaskrcnn export 7"), "is of another version"),
    (lambda f: change(f, format="dmaskrcnn predict 1"), "is not of an export"),
    (lambda f: change(f, complete=False), "was not finished"),
    (lambda f: change(f, classes=[]), "'classes' are no names"),
    (lambda f: change(f, classes=[3]), "'classes' are no names"),
    (lambda f: change(f, runtime="pickle"), "'runtime' 'pickle' is unknown"),
    (lambda f: change(f, runtime=[]), "no text"),
    (lambda f: change(f, detector={"image_size": "large"}), "cannot be read"),
    (lambda f: change(f, detector=3), "cannot be read"),
    (lambda f: change(f, digests={"../../model.onnx": "0"}), "not of the files of such a model"),
    (lambda f: change(f, digests={"model.onnx": "0"}), "is not what was exported"),
    (lambda f: (f / "model.json").write_text("[" * 100_000), "cannot be read"),
    (lambda f: (f / "model.json").write_bytes(b"\xff\x00"), "cannot be read"),
    (lambda f: (f / "model.json").write_text("[]"), "cannot be read"),
    (lambda f: (f / "model.json").unlink(), "no model.json there"),
    (lambda f: (f / "model.onnx").unlink(), "cannot be read"),
    (lambda f: (f / "model.onnx").write_bytes(b"nothing"), "is not what was exported"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=[said for _, said in DAMAGE])
def test_damage_is_named(damage: Callable[[Path], Any], said: str, copy: Path):
    damage(copy)
    with pytest.raises(UserError, match=said) as error:
        load(copy)
    assert str(copy) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_that_is_none(copy: Path):
    (copy / "model.onnx").write_bytes(b"nothing")
    from dmaskrcnn.files import file_digest

    change(copy, digests={"model.onnx": file_digest(copy / "model.onnx")})
    with pytest.raises(UserError, match=r"model\.onnx: cannot be loaded"):
        load(copy)


def test_a_runtime_that_is_missing(copy: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(sessions.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"onnxruntime is not installed: .*pip install 'dmaskrcnn"):
        load(copy)


def test_what_is_an_export(copy: Path, run: Path):
    assert is_export(copy)
    assert not is_export(run)
    assert not is_export(copy / "nowhere")
