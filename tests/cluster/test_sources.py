from __future__ import annotations

import os
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow", reason="needs the extra `cluster`")
import pyarrow.parquet as pq  # noqa: E402
from predict_cases import photo  # noqa: E402

from dmaskrcnn.cluster.sources import find_sources, read_rows  # noqa: E402
from dmaskrcnn.cluster.store import Store, address  # noqa: E402
from dmaskrcnn.errors import UserError  # noqa: E402


def uri(path: Path) -> str:
    """The folder as a bucket of pyarrow."""
    return f"file://{path}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/x.png", "a/x.jpg", "b/y.jpg", "z.jpg"):
        photo(tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "notes.md").write_text("no picture")
    return tmp_path / "pictures"


def names(inputs: list, out: str = "out", column: str = "") -> list[str]:
    return [name for _, name in find_sources(inputs, out, column).files]


def test_folder_bucket_and_list_name_the_same_pictures(folder: Path, tmp_path: Path):
    """Pictures of one stem get names of their own: what is made of them may share a suffix."""
    expected = ["a/x.jpg", "a/x-2.png", "b/y.jpg", "z.jpg"]
    assert names([folder]) == expected
    assert names([uri(folder)]) == expected
    listed = tmp_path / "list.txt"
    lines = ["pictures/a/x.jpg", str(folder / "a" / "x.png"), uri(folder / "b/y.jpg"), ""]
    listed.write_text("\n".join([*lines, "pictures/z.jpg"]))
    assert names([listed]) == expected
    files = [file for file, _ in find_sources([listed], "out").files]
    assert files[0] == str(folder / "a/x.jpg")
    assert files[2] == uri(folder / "b/y.jpg")


def test_every_picture_once(folder: Path):
    assert names([folder, folder / "z.jpg"]) == ["a/x.jpg", "a/x-2.png", "b/y.jpg", "z.jpg"]


def test_the_output_is_no_input(folder: Path):
    photo(folder / "out" / "pictures" / "w.jpg")
    assert "out/pictures/w.jpg" not in names([folder], str(folder / "out"))


def test_shards_hold_every_picture_once(folder: Path):
    sources = find_sources([folder], "out")
    shards = list(sources.shards(3))
    assert [shard["number"] for shard in shards] == [0, 1]
    assert [f for shard in shards for f in shard["files"]] == [file for file, _ in sources.files]
    assert len(sources) == 4
    assert sources.digest != find_sources([folder / "a"], "out").digest


def test_parquet_of_paths_and_of_pictures(folder: Path, tmp_path: Path):
    data = [(folder / "z.jpg").read_bytes(), None, (folder / "a/x.png").read_bytes()]
    paths = ["pictures/z.jpg", None, str(folder / "b/y.jpg")]
    table = pa.table({"path": paths, "image": [{"bytes": one, "path": "?"} for one in data]})
    file = tmp_path / "few.parquet"
    pq.write_table(table, file, row_group_size=2)
    sources = find_sources([file], "out")
    assert len(sources) == 3
    assert not sources.files
    shards = list(sources.shards(2))
    assert [(s["first"], s["last"]) for s in shards] == [(0, 2), (2, 3)]
    rows = list(read_rows(str(file), "image", 1, 3))
    assert rows == [(1, None), (2, data[2])]
    assert names([file], column="path") == ["z.jpg", "b/y.jpg"]
    with pytest.raises(UserError, match="say --column NAME"):
        find_sources([file], "out", "nonsense")
    two = tmp_path / "two.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), two)
    with pytest.raises(UserError, match=r"two.parquet: which column .*\(a, b\)\? say --column"):
        find_sources([two], "out")


def test_a_folder_of_parquet(folder: Path, tmp_path: Path):
    data = (folder / "z.jpg").read_bytes()
    (tmp_path / "shards").mkdir()
    for name in ("one", "two"):
        pq.write_table(pa.table({"jpg": [data] * 3}), tmp_path / "shards" / f"{name}.parquet")
    for given in (tmp_path / "shards", uri(tmp_path / "shards")):
        assert [t.name for t in find_sources([given], "out").tables] == ["one", "two"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", "no such file or folder"),
        ("missing.txt", "cannot be read"),
        ("missing.parquet", "cannot be read"),
        ("clip.mp4", "is a video"),
        ("nope://bucket/x", "cannot be opened"),
        ("file:///no/such/prefix", "no images there"),
    ],
)
def test_what_is_no_input(given: str, message: str):
    with pytest.raises(UserError, match=message) as error:
        find_sources([given], "out")
    assert given.partition(":")[0] in str(error.value)


def test_addresses_survive_a_path():
    assert address(Path("s3://bucket/a b/c")) == "s3://bucket/a b/c"
    assert address(Path("file:///x/y")) == "file:///x/y"
    assert address(Path("runs/s3:x")) == "runs/s3:x"
    assert address("C:/pictures") == "C:/pictures"


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_store_writes_whole_files(tmp_path: Path, as_uri: bool):
    store = Store(uri(tmp_path / "out") if as_uri else tmp_path / "out")
    assert store.names() == []
    for text in ("old", "new"):
        store.write("a/b.txt", lambda path, text=text: path.write_text(text))
    store.write("c.txt", lambda path: path.write_text("c"))
    assert (tmp_path / "out/a/b.txt").read_text() == "new"
    assert store.names() == ["c.txt"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == ["a", "b.txt", "c.txt"]


def test_no_link_leads_out(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "out" / "pictures")
    with pytest.raises(UserError, match="a link leads out of"):
        Store(tmp_path / "out").write("pictures/x.txt", lambda path: path.write_text("x"))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_addresses_are_absolute(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An actor has a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("pictures/z.jpg")
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "few.parquet")
    sources = find_sources(["pictures/a", "list.txt", folder / "z.jpg", "few.parquet"], "out")
    wanted = [folder / "a/x.jpg", folder / "a/x.png", folder / "z.jpg"]
    assert [file for file, _ in sources.files] == list(map(str, wanted))
    assert [name for _, name in sources.files] == ["x.jpg", "x-2.png", "z.jpg"]
    assert [table.address for table in sources.tables] == [str(tmp_path / "few.parquet")]
    assert Store("out/").address == str(tmp_path / "out")
