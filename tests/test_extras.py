"""What is said to install a library that is missing, in each kind of environment."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from dmaskrcnn import extras

CHECKOUT = '{ name = "dmaskrcnn", extras = ["serve", "app"], directory = "/home/me/dmaskrcnn" }'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "pip install 'dmaskrcnn[video]'"),
        ({"pyvenv.cfg": "home = /usr/bin\n"}, "pip install 'dmaskrcnn[video]'"),
        ({"pyvenv.cfg": "home = /usr/bin\nuv = 0.9\n"}, "uv pip install 'dmaskrcnn[video]'"),
        (
            {"pyvenv.cfg": "uv = 0.9\n", "uv-receipt.toml": f"requirements = [{CHECKOUT}]"},
            "uv tool install '/home/me/dmaskrcnn[app,serve,video]'",
        ),
        (
            {"uv-receipt.toml": 'requirements = [{ name = "dmaskrcnn" }, { name = "rich" }]'},
            "uv tool install 'dmaskrcnn[video]'",
        ),
    ],
)
def test_by_environment(files, said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", _only(dmaskrcnn="1", torch="2.13.0+cu130"))
    assert extras.install_command("video") == said


def test_without_torch_it_is_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", _only(**{"dmaskrcnn-runtime": "1"}))
    assert extras.install_command("serve") == "pip install 'dmaskrcnn-runtime[serve]'"
    assert extras.install_command("export", "onnx") == "pip install 'dmaskrcnn-runtime[onnx]'"


def test_torch_without_cuda_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", _only(dmaskrcnn="1", torch="2.13.0+cpu"))
    (tmp_path / "uv-receipt.toml").write_text(f"requirements = [{CHECKOUT}]")
    said = extras.install_command("app")
    assert said == "UV_TORCH_BACKEND=cpu uv tool install '/home/me/dmaskrcnn[app,serve]'"


def _only(**installed: str):
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return version
