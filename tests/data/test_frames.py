"""Which pictures belong together, as people say it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dmaskrcnn.data import Dataset, group_images
from dmaskrcnn.errors import UserError

NAMES = ["cam1/s01_001.jpg", "cam1/s01_002.jpg", "cam1/s02_001.jpg", "cam2/s01_001.jpg"]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    paths = [tmp_path / "drive_7" / name for name in NAMES]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number // 2]))
    return Dataset((), (), paths, [11, 12, "thirteen", 14])


@pytest.mark.parametrize(
    ("how", "groups"),
    [
        ("none", [0, 1, 2, 3]),
        ("", [0, 0, 1, 1]),  # of the same content
        ("folder", [0, 0, 0, 1]),
        ("similar", [0, 1, 2, 3]),  # no pictures at all
        (r"(.+)_\d+", [0, 0, 1, 0]),
        (r"_(\d+)", [0, 1, 0, 0]),  # in the name, not in the folder
        (r"(cam\d/.+)_\d+", [0, 0, 1, 2]),
    ],
)
def test_ways_to_say_it(data: Dataset, how: str, groups: list[int]):
    np.testing.assert_array_equal(group_images(data, how), groups)


def test_a_file_says_it(data: Dataset, tmp_path: Path):
    table = tmp_path / "videos.csv"
    table.write_text(
        "\ufeffimage,video\r\ncam1/s01_001.jpg,A\r\ns01_002,A\r\n\r\nthirteen,B\r\ncam2\\s01_001.jpg,A\r\n",
        encoding="utf-8",
    )
    assert group_images(data, str(table)).tolist() == [0, 0, 1, 0]
    table = tmp_path / "videos.JSON"
    table.write_text(json.dumps({"11": 1, "12": 2, "13": 0, "thirteen": "1", "14": 2}))
    assert group_images(data, str(table)).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("folders", r"has no \(…\) that would be the group; give none, folder, similar"),
        ("(s0", "no regular expression .*; give none"),
        (r"(s01)_", r"finds no group in the name of .*s02_001\.jpg"),
        (r"(x?)s", "finds no group in the name of"),
        ("gone.csv", r"gone\.csv: cannot be read \(No such file"),
    ],
)
def test_ways_that_do_not_work(data: Dataset, how: str, said: str):
    with pytest.raises(UserError, match=said):
        group_images(data, how)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"cam1/s01_001.jpg,A", r"has no group for s01_002\.jpg; name every picture"),
        ("a.csv", b"s01_001.jpg", "entry 1 is not a picture and its group"),
        ("a.csv", b"s01_001.jpg,A,B", "entry 1 is not"),
        ("a.csv", b'"s01', "not from picture to group"),
        ("a.csv", b"\xff\xfe\x00", "not from picture to group"),
        ("a.json", b"[1, 2]", "not from picture to group"),
        ("a.json", b"{", "not from picture to group"),
        ("a.json", b'{"s01_001.jpg": {"a": 1}}', "entry 1 is not a picture and its group"),
        ("a.json", b'{"s01_001.jpg": true}', "entry 1 is not"),
        ("a.json", b"[" * 100_000, "not from picture to group"),
    ],
)
def test_files_that_do_not_work(
    data: Dataset, tmp_path: Path, name: str, content: bytes, said: str
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        group_images(data, str(tmp_path / name))
