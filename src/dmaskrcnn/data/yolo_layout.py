"""Where the pictures, labels and class names of a YOLO data set lie.

Told from the files as Ultralytics, Roboflow and Darknet put them: a ``data.yaml`` that names the
folders of the splits; or a folder of pictures, whose label files are found by putting ``labels``
for ``images`` in its path, or beside the pictures, and whose class names stand in a ``data.yaml``
or ``classes.txt`` there or above.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from dmaskrcnn.data.foreign import is_yolo_text
from dmaskrcnn.data.image import is_image, list_images
from dmaskrcnn.data.splits import TRAIN, same_split
from dmaskrcnn.data.values import shown
from dmaskrcnn.data.yolo_names import (
    NAME_FILES,
    class_names,
    find_names,
    keypoint_numbers,
    read_data,
    read_names,
    read_text,
    yolo_yaml,
)
from dmaskrcnn.errors import UserError

_SPLITS = ("train", "val", "valid", "test")
_LOOKED_AT = 20


@dataclass(frozen=True)
class YoloSet:
    """One split.

    Attributes:
        images: its pictures.
        folder: that their ids are relative to.
        names: per number the name of the class.
        named_in: the file that says so.
        split: its name; empty where there are none.
        splits: all there are.
        keypoints: numbers per object that are keypoints, as ``kpt_shape`` says; else 0.
        whole: whether a label file without a picture is a mistake: not where the pictures are a
            list.
    """

    images: list[Path]
    folder: Path
    names: dict[int, str]
    named_in: Path
    split: str = ""
    splits: tuple[str, ...] = ()
    keypoints: int = 0
    whole: bool = True


def label_folders(folder: Path) -> list[Path]:
    """Where the label files of a folder's pictures may lie: with ``labels`` for the last ``images``
    in its path, beside them, and in ``labels/`` beside them; those that exist."""
    parts = Path(os.path.abspath(folder)).parts
    places = [folder, folder / "labels"]
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]))
    return [place for place in places if place.is_dir()]


def is_label(file: Path) -> bool:
    """Whether a file may hold the labels of a picture: where one is called classes.png, so may what
    looks like the list of classes."""
    if file.suffix != ".txt" or file.name.startswith("."):
        return False
    return file.name not in NAME_FILES or is_yolo_text(file)


def yaml_splits(path: Path) -> list[str]:
    """The splits that a ``data.yaml`` names. Raises UserError where it cannot be read."""
    values = read_data(path)
    return [name for name in _SPLITS if values.get(name)]


def read_data_yaml(path: Path, split: str) -> YoloSet:
    """The split of this name, ``train`` where it is empty.

    Raises:
        UserError: naming the file and the field that is missing or wrong.
    """
    values = read_data(path)
    splits = tuple(name for name in _SPLITS if values.get(name))
    wanted = split or TRAIN
    name = next((one for one in splits if same_split(one, wanted)), None)
    if name is None:
        there = f"it has {', '.join(splits)}" if splits else "it names none: add train: FOLDER"
        raise UserError(f"{path}: has no split {wanted!r}; {there}")
    entries = values[name] if isinstance(values[name], list) else [values[name]]
    images: list[Path] = []
    whole = True
    root = values.get("path")
    bases = _bases(path, root)
    for entry in entries:
        if not isinstance(entry, str):
            raise UserError(f"{path}: {name}: is {shown(entry)}, not the name of a folder")
        place = _locate(entry, bases)
        if place is None:
            tried = ", ".join(str(base / entry) for base in bases[:3])
            raise UserError(
                f"{path}: {name}: no such folder {shown(entry)} (looked for {tried}); correct "
                "'path:' or the split in it"
            )
        if place.is_dir():
            images += list_images(place)
        elif is_image(place):
            images.append(place)
        else:
            images += _listed(place, path.parent)
            whole = False
    if not images:
        raise UserError(f"{path}: {name}: no picture in {shown(values[name])}; correct the folder")
    folder = Path(os.path.commonpath([os.path.abspath(image.parent) for image in images]))
    keypoints = keypoint_numbers(path, values.get("kpt_shape"))
    names = class_names(path, values)
    return YoloSet(images, folder, names, path, name, splits, keypoints, whole)


def find_yolo(path: Path, split: str = "") -> YoloSet | None:
    """The YOLO data set in a folder; None where its pictures have no such labels.

    Raises:
        UserError: there are labels, but no names of classes; or no such split.
    """
    own = yolo_yaml(path)
    if own is not None and any(read_data(own).get(name) for name in _SPLITS):
        return read_data_yaml(own, split)
    splits = split_folders(path)
    if split or splits:
        return _of_folder(path, splits, split or TRAIN)
    images = list_images(path)
    places = dict.fromkeys(
        place
        for folder in {image.parent: None for image in images}
        for place in label_folders(folder)
    )
    texts = [file for place in places for file in _first_labels(place)]
    if not texts:
        return None
    named = find_names(path)
    if not any(map(is_yolo_text, texts)) and not (
        named and any(file.parent.name == "labels" or "labels" in file.parts for file in texts)
    ):
        return None
    if named is None:
        raise UserError(
            f"{path}: YOLO labels, but no names of classes; write a classes.txt there, a name a "
            "line in the order of their numbers, or name a data.yaml"
        )
    names, keypoints = read_names(named)
    return YoloSet(images, path, names, named, keypoints=keypoints)


def _of_folder(path: Path, splits: dict[str, Path], wanted: str) -> YoloSet | None:
    """A split that has a folder of its own; None where there is none such."""
    name = next((one for one in splits if same_split(one, wanted)), None)
    found = find_yolo(splits[name]) if name is not None and splits[name] != path else None
    if name is None or found is None:
        return None
    return replace(found, split=name, splits=tuple(splits))


def split_folders(path: Path) -> dict[str, Path]:
    """Per split its folder, where a folder without a data.yaml has any that hold YOLO labels:
    ``images/train``, ``train/images``."""
    found = {}
    for split in _SPLITS:
        for place in (path / "images" / split, path / split / "images"):
            if place.is_dir() and any(
                is_yolo_text(file)
                for other in label_folders(place)
                for file in _first_labels(other)
            ):
                found[split] = place
    return found


def _first_labels(folder: Path) -> list[Path]:
    """The first files of a folder that may be labels."""
    with os.scandir(folder) as entries:
        files = (Path(entry.path) for entry in entries if entry.name.endswith(".txt"))
        return list(islice((file for file in files if is_label(file)), _LOOKED_AT))


def _bases(path: Path, root: Any) -> list[Path]:
    """The folders that a split may be relative to: ``path:``, and where the data set was moved or
    the YAML lies in it, the YAML's own."""
    here = path.parent
    if root is None or root == "":
        return [here]
    if not isinstance(root, str):
        raise UserError(f"{path}: path: is {shown(root)}, not the name of a folder")
    places = [here / root, Path(root), here / Path(root.replace("\\", "/")).name, here]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _locate(entry: str, bases: list[Path]) -> Path | None:
    """The folder or file of a split. Roboflow writes ``../train/images`` beside ``train/``;
    addresses of another machine are tried by their last parts."""
    entry = entry.replace("\\", "/")
    plain = re.sub(r"^(\.\./)+", "", entry)
    parts = Path(plain).parts
    names = [entry, plain]
    if Path(plain).is_absolute():
        names += ["/".join(parts[first:]) for first in range(1, len(parts) - 1)]
    for name in dict.fromkeys(names):
        for base in bases:
            try:
                if (base / name).exists():
                    return base / name
            except (OSError, ValueError):  # no name that a file system takes
                return None
    return None


def _listed(file: Path, folder: Path) -> list[Path]:
    """The pictures that a text file lists, relative to itself or to the YAML."""
    images = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        image = _locate(line.strip(), [file.parent, folder])
        if image is None or not image.is_file():
            raise UserError(f"{file}: line {number}: no such picture {shown(line.strip())}")
        images.append(image)
    return images
