from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from disk import contents, full_disk
from PIL import Image
from safetensors.torch import save_file

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, check_writable, save_picture_whole, write_text

NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("x" * 200_000),
    "torch": lambda path: torch.save({"a": torch.zeros(100_000)}, path),
    "safetensors": lambda path: save_file({"a": torch.zeros(100_000)}, path),
    "picture": lambda path: Image.fromarray(NOISE).save(path, format="PNG"),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("room", [0, 500, 50_000])
def test_full_disk_keeps_the_old_file(tmp_path: Path, kind: str, room: int):
    path = tmp_path / "file"
    path.write_text("old")
    with (
        full_disk(room),
        pytest.raises(UserError, match=r"file: cannot be written \(.+\); free some space") as error,
    ):
        atomic_write(path, WRITERS[kind])
    assert "\n" not in str(error.value)
    assert list(contents(tmp_path)) == ["file"]
    assert path.read_text() == "old"
    atomic_write(path, WRITERS[kind])
    assert path.stat().st_size > 50_000


def test_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"a\.txt: cannot be written"):
        write_text(tmp_path / "file" / "folder" / "a.txt", "new")
    with pytest.raises(
        UserError, match=r"folder: cannot be written \(Not a directory\); choose another folder"
    ):
        check_writable(tmp_path / "file" / "folder")
    with pytest.raises(UserError, match="file: cannot be written"):
        check_writable(tmp_path / "file")


def test_check_writable_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path):
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes"), ValueError("x"), KeyboardInterrupt()]
)
def test_other_errors_pass_unchanged(tmp_path: Path, error: BaseException):
    def broken(path: Path) -> None:
        path.write_text("half")
        raise error

    with pytest.raises(type(error)) as raised:
        atomic_write(tmp_path / "file", broken)
    assert raised.value is error
    assert contents(tmp_path) == {}


def test_readers_see_the_old_or_the_new_file(tmp_path: Path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("new, not yet ready")
        assert path.read_text() == "old"
        assert temporary.suffix == path.suffix
        assert temporary.parent == path.parent
        temporary.write_text("new")

    atomic_write(path, write)
    assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_are_those_of_ordinary_files(tmp_path: Path):
    write_text(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path):
    """Pillow by itself takes a short write for a whole one."""
    picture = Image.effect_noise((200, 200), 80).convert("RGB")
    for name in ("a.jpg", "a.png", "a.webp", "a.bmp", "a.tif"):
        with full_disk(500), pytest.raises(UserError, match="cannot be written"):
            atomic_write(tmp_path / name, lambda path: save_picture_whole(picture, path))
        assert contents(tmp_path) == {}
