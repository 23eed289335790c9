"""Whose files are whose: what is overwritten or removed, what a run that ends early leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disk import contents

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import temporary_mark, write_text
from dmaskrcnn.output_folder import OutputFolder, check_marked, numbered


def opened(out: Path, **options: Any) -> OutputFolder:
    return OutputFolder(out, "paint", "index.json", **options)


def index(out: Path) -> dict[str, Any]:
    return json.loads((out / "index.json").read_text(encoding="utf-8"))


def paint(
    out: Path,
    *names: str,
    killed_after: int = 99,
    stale: Callable[[Any], bool] = lambda _: False,
    inputs: tuple[Path, ...] = (),
    **options: Any,
) -> list[str]:
    """A run that writes files of these names; where it wrote them."""
    output = opened(out)
    paths = output.claim(map(Path, names), inputs, **options)
    output.begin({"colour": "red"}, stale)
    for path in paths[:killed_after]:
        output.write(path, lambda temporary: temporary.write_text("ours"))
    if killed_after >= len(paths):
        output.end({"colour": "red"})
    return [output.name(path) for path in paths]


def test_the_index_is_incomplete_before_the_first_file_and_complete_after_the_last(tmp_path: Path):
    output = opened(tmp_path)
    (path,) = output.claim([Path("a/x.png")])
    output.begin({"colour": "red"})
    expected = {
        "format": "dmaskrcnn paint 1",
        "complete": False,
        "colour": "red",
        "files": ["a/x.png"],
        "earlier": [],
    }
    assert index(tmp_path) == expected
    assert not path.parent.exists()
    output.write(path, Path.touch)
    assert index(tmp_path) == expected
    output.end({"colour": "red"})
    assert index(tmp_path) == expected | {"complete": True}


def test_names_are_kept_apart(tmp_path: Path):
    assert paint(tmp_path, "x.png", "X.PNG", "a/x.png", "x-2.png") == [
        "x.png",
        "X-2.PNG",
        "a/x.png",
        "x-2-2.png",
    ]
    assert paint(tmp_path, "index.json") == ["index-2.json"]
    names = numbered(Path("a/b.c.png"))
    assert [next(names).as_posix() for _ in range(3)] == [
        "a/b.c.png",
        "a/b.c-2.png",
        "a/b.c-3.png",
    ]


def test_only_what_a_run_before_wrote_is_overwritten(tmp_path: Path):
    write_text(tmp_path / "x.png", "mine")
    (tmp_path / "y.png").mkdir()
    (tmp_path / "z.png").symlink_to(tmp_path / "nowhere")
    for _ in range(2):
        assert paint(tmp_path, "x.png", "y.png", "z.png") == ["x-2.png", "y-2.png", "z-2.png"]
    assert (tmp_path / "x.png").read_text() == "mine"
    with pytest.raises(UserError, match=r"x\.png: exists and was not written by dmaskrcnn paint"):
        opened(tmp_path).claim([Path("x.png")], rename=False)
    (tmp_path / "x-2.png").unlink()
    (tmp_path / "x-2.png").mkdir()
    assert paint(tmp_path, "x.png") == ["x-3.png"]


def test_inputs_are_never_overwritten_or_removed(tmp_path: Path):
    paint(tmp_path, "x.png", "y.png")
    inputs = (tmp_path / "x.png",)
    assert paint(tmp_path, "x.png", inputs=inputs, stale=lambda _: True) == ["x-2.png"]
    assert set(contents(tmp_path)) == {"index.json", "x.png", "x-2.png"}
    with pytest.raises(UserError, match=r"x\.png: is an input and would be overwritten"):
        opened(tmp_path).claim([Path("x.png")], inputs, rename=False)


def test_what_is_not_written_again_is_listed_or_makes_way(tmp_path: Path):
    paint(tmp_path, "x.png", "y.png", "a/z.png")
    paint(tmp_path, "x.png")
    assert (index(tmp_path)["files"], index(tmp_path)["earlier"]) == (
        ["x.png"],
        ["a/z.png", "y.png"],
    )
    (tmp_path / "y.png").unlink()
    paint(tmp_path, "x.png")
    assert index(tmp_path)["earlier"] == ["a/z.png"]
    write_text(tmp_path / "a" / "mine.png", "mine")
    paint(tmp_path, "x.png", stale=lambda name: name.parts[0] == "a")
    assert index(tmp_path)["earlier"] == []
    assert set(contents(tmp_path)) == {"index.json", "x.png", "a/mine.png"}


def test_files_of_a_killed_run_are_ours(tmp_path: Path):
    """Written ones, and the half of one."""
    names = ["a.png", "b/b.png", "c.png"]
    paint(tmp_path, *names, killed_after=2)
    b, c, index_json, mine = map(temporary_mark, ("b.png", "c.png", "index.json", "mine.png"))
    halves = [f"b/{b}k2_8ab0z.png", f"{c}abcdefgh.png", f"{index_json}abcdefgh.json"]
    others = [".c.png", f"{mine}abcdefgh.png", f"b/{c}abcdefgh.png"]
    for name in halves + others:
        (tmp_path / name).touch()
    assert not index(tmp_path)["complete"]
    assert paint(tmp_path, *names) == names
    assert set(contents(tmp_path)) == {"index.json", *names, *others}
    assert index(tmp_path)["complete"]


def test_an_interrupted_run_lists_what_it_wrote(tmp_path: Path):
    paint(tmp_path, "x.png", "y.png")
    output = opened(tmp_path)
    x, _, _ = output.claim([Path("x.png"), Path("y.png"), Path("z.png")])
    output.begin({})
    output.write(x, Path.touch)
    output.end({}, complete=False)
    content = index(tmp_path)
    assert (content["complete"], content["files"], content["earlier"]) == (
        False,
        ["x.png"],
        ["y.png"],
    )


def test_what_is_kept_counts_as_written(tmp_path: Path):
    paint(tmp_path, "x.png", "y.png")
    output = opened(tmp_path)
    x, _ = output.claim([Path("x.png"), Path("y.png")])
    output.begin({}, stale=lambda _: True, kept=[x])
    output.end({})
    assert index(tmp_path)["files"] == ["x.png"]
    assert set(contents(tmp_path)) == {"index.json", "x.png"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"format": "dmaskrcnn paint 1"}',
        '{"format": "dmaskrcnn other 1", "complete": true}',
        '{"format": "dmaskrcnn paint 1", "complete": true, "files": 3}',
        '{"format": "dmaskrcnn paint 1", "complete": true, "files": [3]}',
    ],
)
def test_an_index_of_somebody_else_is_refused(tmp_path: Path, text: str):
    write_text(tmp_path / "index.json", text)
    with pytest.raises(UserError, match=r"index\.json: exists and was not written by dmaskrcnn"):
        opened(tmp_path)
    assert (tmp_path / "index.json").read_text() == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_or_a_folder_in_place_of_a_file(tmp_path: Path):
    os.mkfifo(tmp_path / "index.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="was not written by dmaskrcnn"):
        opened(tmp_path)
    for name in ("index.json", "folder"):
        with pytest.raises(UserError, match=f"{name}: exists and was not written by dmaskrcnn"):
            check_marked(tmp_path / name, "paint")


def test_a_file_in_place_of_the_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(UserError, match=r"cannot be written .*file is no folder.*--out"):
            opened(out)
    assert opened(tmp_path / "new" / "out").content == {}
    assert list(contents(tmp_path)) == ["file"]


def test_a_folder_that_will_be_read_holds_nothing_else(tmp_path: Path):
    (tmp_path / ".hidden").touch()
    assert opened(tmp_path, sole=True).content == {}
    (tmp_path / "mine.png").touch()
    with pytest.raises(UserError, match="holds other things than files of dmaskrcnn paint"):
        opened(tmp_path, sole=True)


def test_links_are_not_followed_out_of_the_folder(tmp_path: Path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    paint(out, "a/x.png", "y.png")
    write_text(outside / "x.png", "theirs")
    write_text(outside / "y.png", "theirs")
    (out / "a" / "x.png").unlink()
    (out / "a").rmdir()
    (out / "a").symlink_to(outside)
    (out / "y.png").unlink()
    (out / "y.png").symlink_to(outside / "y.png")
    before = contents(outside)
    with pytest.raises(UserError, match=r"a/x\.png: lies behind a link that leads out of"):
        opened(out).claim([Path("a/x.png")])
    paint(out, "z.png", stale=lambda _: True)  # the link itself goes
    assert sorted(path.name for path in out.iterdir()) == ["a", "index.json", "z.png"]
    (out / "z.png").unlink()
    (out / "z.png").symlink_to(outside / "y.png")
    paint(out, "z.png")  # the link is replaced
    assert (out / "z.png").read_text() == "ours"
    assert not (out / "z.png").is_symlink()
    assert contents(outside) == before


def test_the_folder_itself_may_be_a_link(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        assert paint(tmp_path / "out", "a/x.png") == ["a/x.png"]


def test_a_list_that_was_tampered_with_reaches_nothing_outside(tmp_path: Path):
    out = tmp_path / "out"
    paint(out, "x.png")
    write_text(tmp_path / "theirs.png", "theirs")
    listed = ["../theirs.png", "a/../../theirs.png", str(tmp_path / "theirs.png"), ".", ""]
    (out / "index.json").write_text(json.dumps(index(out) | {"earlier": listed}))
    assert opened(out).earlier == {"x.png"}
    paint(out, "y.png", stale=lambda _: True)
    assert set(contents(tmp_path)) == {"out/index.json", "out/y.png", "theirs.png"}


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_a_name_that_is_not_utf8(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.png")
    for _ in range(2):
        assert paint(tmp_path, name) == [name]
    assert index(tmp_path)["files"] == [name]


def test_a_single_file_says_itself_whose_it_is(tmp_path: Path):
    page = tmp_path / "page.html"
    check_marked(page, "paint")
    page.write_text("<meta name=generator content='dmaskrcnn paint'>")
    check_marked(page, "paint")
    with pytest.raises(UserError, match="was not written by dmaskrcnn report; choose another"):
        check_marked(page, "report")


def test_names_as_long_as_a_file_system_takes(tmp_path: Path):
    """Two that would be one when cut are two files, and no temporary name is longer."""
    names = [f"{'ä' * 120}{end}.png" for end in ("", "b", "bc")] + ["x" * 255]
    written = paint(tmp_path, *names)
    assert written[0] == names[0]
    assert len(set(written)) == 4
    assert all(len(name.encode()) <= 255 for name in written)
    assert paint(tmp_path, *names) == written
