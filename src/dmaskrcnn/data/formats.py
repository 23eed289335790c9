"""Which format a path has, told from the path alone; and plain folders of pictures, the format
without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dmaskrcnn.data.coco import list_coco_images, looks_like_coco, read_coco
from dmaskrcnn.data.foreign import file_kind, folder_kind
from dmaskrcnn.data.globs import is_pattern, match
from dmaskrcnn.data.image import is_image, list_images
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.data.voc import read_voc, voc_folders
from dmaskrcnn.errors import UserError


@dataclass(frozen=True)
class Format:
    """What a path was recognised as.

    Attributes:
        name: for messages.
        read: reads it.
    """

    name: str
    read: Callable[[], Part]


def find_format(path: Path, labels: bool = True, orientation: Orientation = "auto") -> Format:
    """Recognise a path: a COCO JSON or a folder with exactly one, a Pascal VOC folder, a folder of
    pictures, a picture, a pattern of pictures.

    Args:
        path: a file, a folder, or a pattern as `globs` has them.
        labels: False to read images only; then a folder is never searched for annotation files.
        orientation: in which frame the boxes of rotated pictures lie.

    Raises:
        UserError: it does not exist, is none of these, or holds several COCO JSON files.
    """
    if is_pattern(path):
        return Format("image pattern", lambda: _read_pattern(path))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_file():
        if path.suffix.lower() == ".json":
            return Format(
                "COCO JSON",
                lambda: read_coco(path, orientation) if labels else list_coco_images(path),
            )
        if is_image(path):
            return Format("single image", lambda: Part(path, "single image", [path], [path.stem]))
        kind = file_kind(path)
        raise UserError(
            f"{path}: neither a COCO JSON (.json) nor a picture{f', but {kind}' if kind else ''}; "
            "name one, or a folder"
        )
    return _find_labelled(path, orientation) if labels else _find_pictures(path)


def _find_labelled(path: Path, orientation: Orientation) -> Format:
    voc = voc_folders(path)
    if voc is not None:
        return Format("Pascal VOC", lambda: read_voc(path, *voc, orientation))
    for folder in (path, path / "annotations"):
        jsons = sorted(file for file in folder.glob("*.json") if looks_like_coco(file))
        if len(jsons) > 1:
            raise UserError(
                f"{path}: holds several COCO files "
                f"({', '.join(file.name for file in jsons)}); name one of them"
            )
        if jsons:
            return Format("COCO JSON", partial(read_coco, jsons[0], orientation))
    return _find_pictures(path, kind=folder_kind(path))


def _find_pictures(path: Path, kind: str | None = None) -> Format:
    folder = path / "JPEGImages" if (path / "JPEGImages").is_dir() else path
    if not list_images(folder) and (voc := voc_folders(path)) is not None:
        folder = voc[0]  # a folder of XML files: its pictures lie elsewhere
    return Format("image folder", lambda: _read_pictures(path, folder, kind))


def _read_pattern(pattern: Path) -> Part:
    root, images = match(pattern)
    return Part(pattern, "image pattern", images, stem_ids(images, root))


def _read_pictures(path: Path, folder: Path, kind: str | None) -> Part:
    """``kind``: what labels of another format beside the pictures look like."""
    images = list_images(folder)
    if not images:
        found = f" ({kind})" if kind else ""
        raise UserError(
            f"{path}: no picture in it{found}; name a COCO JSON, a Pascal VOC folder or an image "
            "folder"
        )
    notes = [Problem("labels not read", path, "", kind)] if kind else []
    return Part(path, "image folder", images, stem_ids(images, folder), notes=notes)
