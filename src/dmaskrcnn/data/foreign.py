"""Formats of labels that are not read here, told apart so that a message can name them and the way
out."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

LOOKED_AT = 20  # files of a folder, and entries of a list: enough to tell, quick on 100,000
_HEAD = 1 << 16  # bytes
_CONVERT = "convert it to COCO JSON with {}"
_YOLO = "YOLO labels; name the folder of their pictures, or the data.yaml"
_KITTI = "KITTI (labels in .txt files); " + _CONVERT.format("FiftyOne or Datumaro")
_OPEN_IMAGES = "the CSV of OpenImages; " + _CONVERT.format("FiftyOne or Datumaro")

# per format a sign in an object of it, or in the first objects of a list of it
_SIGNS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"shapes", "imagePath"}), "labelme; name the folder that holds it"),
    (frozenset({"image_id", "score", "category_id"}), "detections (COCO results), not labels"),
    (frozenset({"name", "labels"}), "BDD100K; " + _CONVERT.format("bdd100k.label.to_coco")),
    (frozenset({"name", "frames"}), "BDD100K; " + _CONVERT.format("bdd100k.label.to_coco")),
    (
        frozenset({"imgHeight", "imgWidth", "objects"}),
        "Cityscapes' polygons; " + _CONVERT.format("cityscapesscripts and pycocotools"),
    ),
    (
        frozenset({"_via_img_metadata"}),
        "the VGG Image Annotator's project; export it as COCO from there",
    ),
    (
        frozenset({"filename", "regions"}),
        "the VGG Image Annotator's JSON; export it as COCO from there",
    ),
    (frozenset({"data", "annotations"}), "Label Studio's own JSON; export as COCO from there"),
    (frozenset({"data", "completions"}), "Label Studio's own JSON; export as COCO from there"),
    (frozenset({"image", "annotations"}), "CreateML; " + _CONVERT.format("Roboflow or Datumaro")),
    (
        frozenset({"description", "tags", "size", "objects"}),
        "Supervisely; export it as COCO from there",
    ),
    (frozenset({"items", "categories"}), "Datumaro's JSON; " + _CONVERT.format("datum convert")),
)


def json_kind(data: Any) -> str | None:
    """What the parsed content of a JSON looks like if it is labels of another format than COCO's,
    and how to convert it."""
    entries = data if isinstance(data, list) else [data]
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        if _has(data["annotations"], "segments_info"):
            return (
                "looks like COCO panoptic; convert it with panopticapi's "
                "panoptic2detection_coco_format.py"
            )
        images = data.get("images")
        if _has(images, "coco_url") and not _has(images, "file_name"):
            return (
                "looks like LVIS; give each image a file_name, the last part of its coco_url, "
                "such as 000000000139.jpg"
            )
    elif isinstance(data, dict) and len(data) and all(isinstance(v, dict) for v in data.values()):
        entries = [data, *islice(data.values(), LOOKED_AT)]  # VIA: by file
    for entry in entries[:LOOKED_AT]:
        if isinstance(entry, dict):
            for sign, name in _SIGNS:
                if sign <= entry.keys() and "images" not in entry:
                    return f"looks like {name}"
    return None


def _has(entries: Any, key: str) -> bool:
    return isinstance(entries, list) and any(
        isinstance(entry, dict) and key in entry for entry in entries[:LOOKED_AT]
    )


def file_kind(path: Path) -> str | None:
    """The same for a file that is neither JSON nor a picture."""
    suffix, text = path.suffix.lower(), _head(path)
    if suffix == ".xml" and re.search(r"<annotation[\s>]", text):
        return "a single Pascal VOC file; name the folder that holds it"
    if suffix == ".csv" and "ImageID" in text and "LabelName" in text:
        return f"looks like {_OPEN_IMAGES}"
    if suffix == ".txt":
        if _is_kitti(text):
            return f"looks like {_KITTI}"
        return f"looks like {_YOLO}" if is_yolo_text(path) else None
    if suffix in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        return "an archive; unpack it first"
    return None


def folder_kind(path: Path) -> str | None:
    """The same for a folder in which pictures lie, or labels without them; None for pictures
    alone."""
    parent = path.parent
    places = [path, path / "labels", path / "label_2", path / "Annotations"]
    if path.name in ("images", "image_2"):
        places += [parent / "labels", parent / "label_2"]
    for place in places:
        try:
            files = list(islice((f for f in place.iterdir() if _may_label(f)), LOOKED_AT))
        except OSError:
            continue
        for file in files:
            if kind := _labels_in(file):
                return kind
    return None


def _may_label(file: Path) -> bool:
    return file.suffix.lower() in (".txt", ".csv", ".xml", ".json", ".yaml") and file.is_file()


def _labels_in(file: Path) -> str | None:
    if file.suffix.lower() != ".json":
        kind = file_kind(file)
        return kind if kind is not None and kind.startswith("looks") else None
    try:
        # a whole file: labelme keeps the picture in it, but one of several is soon read
        return json_kind(json.loads(file.read_bytes())) if file.stat().st_size < 1 << 24 else None
    except (OSError, ValueError, RecursionError):
        return None


def _is_kitti(text: str) -> bool:
    """A line per object: a name and 14 numbers, or 15 with a score."""
    lines = [line.split() for line in text.splitlines()[:LOOKED_AT] if line.strip()]
    return bool(lines) and all(
        len(line) in (15, 16) and not _is_float(line[0]) and all(map(_is_float, line[1:]))
        for line in lines
    )


def is_yolo_text(path: Path) -> bool:
    """Whether a file has a line of YOLO labels: the number of a class, and at least four shares."""
    return any(
        len(words) >= 5
        and words[0].isdecimal()
        and all(_is_float(share) and 0 <= float(share) <= 1 for share in words[1:])
        for words in map(str.split, _head(path).splitlines()[:LOOKED_AT])
    )


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""
