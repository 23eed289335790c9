"""What `dmaskrcnn compare` refuses, before and amid its work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from evaluation_cases import save_detector


def test_bad_input(
    runs: list[Path], clear: Path, hazy: Path, tmp_path: Path, fails: Callable[..., str]
):
    out = tmp_path / "out"
    boats = save_detector(tmp_path / "boats", "boat")
    damaged = Path(shutil.copytree(runs[0], tmp_path / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"hello")
    (tmp_path / "file").touch()

    def run(*arguments: object, data: Path = clear) -> str:
        return fails("--data", data, "--out", out, "--device", "cpu", "--runs", *arguments)

    assert "holds images but no labels" in run(runs[0], data=hazy)
    assert "gone: no such file or folder" in run(runs[0], data=tmp_path / "gone")
    assert "model.json: not found" in run(runs[0], tmp_path / "gone")
    assert "boats: has no class in common" in run(runs[0], boats)
    assert "--classes boat" in run(runs[0], "--classes", "boat")
    assert "damaged/model.safetensors: not a readable weights file" in run(*runs, damaged)
    assert "--bootstrap must not be negative" in run(runs[0], "--bootstrap", -1)
    weights = runs[0] / "model.safetensors"
    assert "weights of mscnn" in run(runs[0], "--dehaze", "mscnn", "--mscnn-weights", weights)
    assert "gone.pth: no such weights file" in run(
        runs[0], "--dehaze", "aod-net", "--aod-net-weights", tmp_path / "gone.pth"
    )
    assert "invalid choice 'fog'" in run(runs[0], "--dehaze", "fog")
    assert not out.exists()
    assert "file: cannot be written" in run(runs[0], "--out", tmp_path / "file")


def test_files_of_others_stay(
    runs: list[Path], clear: Path, tmp_path: Path, fails: Callable[..., str]
):
    out = tmp_path / "out"
    for name in (
        "comparison.csv",
        "predictions/none/source-1.json",
        "dehazed/dark-channel/holiday.png",
    ):
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("mine")
        method = "dark-channel" if "dehazed" in name else "none"
        message = fails("--data", clear, "--out", out, "--runs", runs[0], "--dehaze", method)
        assert "choose another --out" in message
        assert (out / name).read_text() == "mine"
        shutil.rmtree(out)


def test_reproduction_keeps_its_table(
    runs: list[Path], clear: Path, tmp_path: Path, fails: Callable[..., str]
):
    (tmp_path / "reproduce.json").touch()
    assert "holds a reproduction" in fails("--data", clear, "--out", tmp_path, "--runs", runs[0])
    assert [path.name for path in tmp_path.iterdir()] == ["reproduce.json"]


def test_truncated_picture(own: tuple[list[Path], Path], tmp_path: Path, fails: Callable[..., str]):
    runs, data = own
    picture = sorted((data / "images").iterdir())[3]
    picture.write_bytes(picture.read_bytes()[:300])
    arguments = ("--data", data, "--out", tmp_path / "out", "--runs", runs[0], "--dehaze")
    assert f"{picture.name}: cannot read the picture" in fails(*arguments, "none")
    # its progress
    assert f"{picture.name}: cannot read the picture" in fails(*arguments, "aod-net", said_before=3)
