"""Pictures of a COCO JSON or of CVAT's XML under the names that exporters give them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unicodedata import normalize
from xml.sax.saxutils import escape

import pytest
from data_files import write_image

from dmaskrcnn.data import open_dataset
from dmaskrcnn.data.picture_names import find_renamed
from dmaskrcnn.errors import UserError


def listing(folder: Path, *names: str) -> Path:
    """A COCO JSON of these pictures, none of which lies beside it; ``pics`` is there for them."""
    (folder / "json").mkdir()
    (folder / "pics").mkdir()
    images = [
        {"id": i, "file_name": name, "height": 20, "width": 30} for i, name in enumerate(names, 1)
    ]
    path = folder / "json" / "a.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


def write_xml(folder: Path, *images: str) -> Path:
    """CVAT's XML of images with these attributes, as `listing`."""
    (folder / "xml").mkdir()
    (folder / "pics").mkdir()
    path = folder / "xml" / "a.xml"
    listed = "".join(f'<image {image} width="30" height="20"></image>' for image in images)
    path.write_text(f"<annotations><version>1.1</version>{listed}</annotations>", "utf-8")
    return path


COMPOSED = "straße ü.jpg"
EXPORTED = {
    "of another machine": ("/home/alice/data/p0.png", "p0.png"),
    "of Windows": ("C:\\data\\p0.png", "p0.png"),
    "split": ("train/p0.png", "p0.png"),
    "Label Studio": ("upload/3/p0.png", "p0.png"),
    "address": ("https://bucket/p0.png?X-Signature=a/b", "p0.png"),
    "quoted": ("my%20photo.jpg", "my photo.jpg"),
    "capitals": ("P0.JPG", "p0.jpg"),
    "composed": (COMPOSED, normalize("NFD", COMPOSED)),
    "decomposed": (normalize("NFD", COMPOSED), COMPOSED),
    "folders below": ("/home/alice/data/train/p0.png", "train/p0.png"),
}


@pytest.mark.parametrize("case", EXPORTED)
def test_names_of_exporters(tmp_path: Path, case: str) -> None:
    name, file = EXPORTED[case]
    path = listing(tmp_path, name)
    write_image(tmp_path / "pics" / file)
    write_image(tmp_path / "pics" / "other.png")
    data = open_dataset(path, folders=[tmp_path / "pics"])
    assert data.paths == [tmp_path / "pics" / file]
    assert [note.kind for note in data.notes] == ["other name"]
    with pytest.raises(UserError, match="--images"):  # elsewhere nobody guesses
        open_dataset(path)


@pytest.mark.parametrize("case", EXPORTED)
def test_names_of_exporters_in_cvat(tmp_path: Path, case: str) -> None:
    name, file = EXPORTED[case]
    path = write_xml(tmp_path, f'name="{escape(name)}"')
    write_image(tmp_path / "pics" / file)
    write_image(tmp_path / "pics" / "other.png")
    data = open_dataset(path, folders=[tmp_path / "pics"])
    assert data.paths == [tmp_path / "pics" / file]
    assert [note.kind for note in data.notes] == ["other name"]
    with pytest.raises(UserError, match="--images"):
        open_dataset(path)


def test_subsets_of_cvat_tell_pictures_apart(tmp_path: Path) -> None:
    path = write_xml(tmp_path, 'name="p0.png" subset="a"', 'name="p0.png" subset="b"')
    pictures = [tmp_path / "pics" / subset / "p0.png" for subset in "ab"]
    for picture in pictures:
        write_image(picture)
    assert open_dataset(path, folders=[tmp_path / "pics"]).paths == pictures
    pictures[1].rename(tmp_path / "pics" / "p0.png")
    pictures[0].unlink()
    with pytest.raises(UserError, match=r"'a/p0\.png' may be .*p0\.png, but so may another"):
        open_dataset(path, folders=[tmp_path / "pics"])


@pytest.mark.parametrize(
    ("names", "files", "message"),
    [
        (["train/p0.png", "val/p0.png"], ["p0.png"], r"'train/p0\.png' may be .*another image"),
        (["p0.png", "a/p0.png"], ["p0.png"], r"'a/p0\.png' may be .*p0\.png, but so may another"),
        (["P0.png"], ["p0.PNG", "p0.png"], r"'P0\.png' may be .*p0\.PNG or .*p0\.png"),
        (["p0.jpg"], ["p0.jpeg", "p1.jpeg"], r"pics holds 'p0\.jpeg' and 1 other pictures; corre"),
        (["p0.png", "p1.png"], ["p0.png"], r"'p1\.png' is neither.*pics holds 'p0\.png'"),
        (["p0.png"], [], r"pics holds no picture"),
    ],
)
def test_what_is_uncertain_is_not_guessed(
    tmp_path: Path, names: list[str], files: list[str], message: str
) -> None:
    path = listing(tmp_path, *names)
    for file in files:
        write_image(tmp_path / "pics" / file)
    with pytest.raises(UserError, match=message) as error:
        open_dataset(path, folders=[tmp_path / "pics"])
    assert "\n" not in str(error.value)


def test_a_whole_path_is_the_same_in_every_folder(tmp_path: Path) -> None:
    picture = tmp_path / "p0.png"
    write_image(picture)
    path = listing(tmp_path, str(picture))
    (tmp_path / "more").mkdir()
    assert open_dataset(path, folders=[tmp_path / "pics", tmp_path / "more"]).paths == [picture]


def test_nothing_is_listed_where_names_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = listing(tmp_path, "p0.png", "p0.png")
    write_image(tmp_path / "pics" / "p0.png")
    monkeypatch.setattr(os, "listdir", None)
    assert len(open_dataset(path, folders=[tmp_path / "pics"])) == 2


def test_names_that_are_none(tmp_path: Path) -> None:
    assert find_renamed(["", "/", "..", "a\0b", "\ud800", "%ff%", "x" * 5000], [tmp_path], []) == {}
