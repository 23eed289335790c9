"""Which format a path has, told from the path alone; and plain folders of pictures, the format
without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dmaskrcnn.data.coco import list_coco_images, looks_like_coco, read_coco
from dmaskrcnn.data.coco_images import split_of
from dmaskrcnn.data.cvat import cvat_file, looks_like_cvat, read_cvat
from dmaskrcnn.data.foreign import file_kind, folder_kind
from dmaskrcnn.data.globs import is_pattern, match
from dmaskrcnn.data.image import VIDEO_SUFFIXES, is_image, list_images
from dmaskrcnn.data.labelme import looks_like_labelme, read_labelme
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part, stem_ids
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.data.splits import TRAIN, same_split, spellings, without_split
from dmaskrcnn.data.voc import read_voc, voc_folders
from dmaskrcnn.data.yolo import read_yolo
from dmaskrcnn.data.yolo_layout import find_yolo, read_data_yaml, split_folders, yaml_splits
from dmaskrcnn.data.yolo_names import is_yolo_yaml, yolo_yaml
from dmaskrcnn.errors import UserError
from dmaskrcnn.output_folder import is_index


@dataclass(frozen=True)
class Format:
    """What a path was recognised as.

    Attributes:
        name: for messages.
        read: reads it.
    """

    name: str
    read: Callable[[], Part]


def find_format(
    path: Path,
    labels: bool = True,
    orientation: Orientation = "auto",
    folders: Sequence[Path] = (),
) -> Format:
    """Recognise a path: a COCO JSON, YOLO's ``data.yaml``, CVAT's XML, a folder with labels of any
    of these, of Pascal VOC or labelme, a folder of pictures, a picture.

    A split is named after a colon, ``data.yaml:val`` or ``folder:test``; of several, no name means
    ``train``.

    Args:
        path: a file, a folder, or a pattern as `globs` has them.
        labels: False to read images only; then a folder is never searched for annotation files.
        orientation: in which frame the boxes of rotated pictures lie.
        folders: in which the pictures that a JSON or XML names are looked for first.

    Raises:
        UserError: it does not exist, is none of these, holds several COCO JSON files, or lacks the
            split.
    """
    named, (path, split) = path, without_split(path)
    if is_pattern(path):
        return Format("image pattern", lambda: _read_pattern(path))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_dir():
        find = _Finder(named, path, split, orientation, folders)
        return find.labelled() if labels else find.images()
    if is_yolo_yaml(path):
        found = read_data_yaml(path, split)
        if labels:
            return Format("YOLO", lambda: read_yolo(named, found, orientation))
        ids = stem_ids(found.images, found.folder)
        return Format("YOLO", lambda: Part(named, "image folder", found.images, ids))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        raise UserError(
            f"{path}: is a video, and pictures are wanted here; `adapt` and `train` take videos as "
            "target and leave their frames in OUT/frames, a folder to give here"
        )
    if split:
        raise UserError(f"{named}: only folders and a data.yaml have splits; name {path}")
    if path.suffix.lower() == ".json":
        return Format(
            "COCO JSON",
            lambda: (
                read_coco(path, orientation, folders) if labels else list_coco_images(path, folders)
            ),
        )
    if looks_like_cvat(path) and labels:
        return Format("CVAT XML", lambda: read_cvat(path, orientation, folders))
    if is_image(path):
        return Format("single image", lambda: Part(path, "single image", [path], [path.stem]))
    kind = file_kind(path)
    raise UserError(
        f"{path}: neither a COCO JSON, a data.yaml, CVAT's XML nor a picture"
        f"{f', but {kind}' if kind else ''}; name one, or a folder"
    )


def unnamed_splits(path: Path) -> list[str]:
    """The splits of a path that has several and names none, so that ``train`` would be read; empty
    for any other. Raises UserError for a ``data.yaml`` that cannot be read."""
    if without_split(path)[1] or not path.exists():
        return []
    yaml = yolo_yaml(path) if path.is_dir() else path if is_yolo_yaml(path) else None
    if yaml is not None and (found := yaml_splits(yaml)):
        return found if len(found) > 1 else []
    if found := sorted(file.parent.name for file in path.glob("*/_annotations.coco.json")):
        return found if len(found) > 1 else []
    found = list(split_folders(path))
    # beside labels of another format, which are read before YOLO's, they are no splits
    plain = len(found) > 1 and find_format(path).name in ("YOLO", "image folder")
    return found if plain else []


@dataclass(frozen=True)
class _Finder:
    """What a folder holds. ``named``: as the user named it, with its split."""

    named: Path
    path: Path
    split: str
    orientation: Orientation
    folders: Sequence[Path]

    def labelled(self) -> Format:
        """Its labels, in the first format that it has."""
        path, orientation, folders = self.path, self.orientation, self.folders
        if not self.split:
            if (xml := cvat_file(path)) is not None:
                return Format("CVAT XML", lambda: read_cvat(xml, orientation, folders))
            if (voc := voc_folders(path)) is not None:
                return Format("Pascal VOC", lambda: read_voc(path, *voc, orientation))
        if (coco := self._coco()) is not None:
            json, layout = coco
            return Format(
                "COCO JSON", lambda: replace(read_coco(json, orientation, folders), layout=layout)
            )
        if (yolo := find_yolo(path, self.split)) is not None:
            return Format("YOLO", lambda: read_yolo(self.named, yolo, orientation))
        if self.split:
            raise UserError(
                f"{self.named}: no split {self.split!r} with labels in {path}; name its file or "
                "folder"
            )
        if looks_like_labelme(path):
            return Format("labelme", lambda: read_labelme(path, orientation))
        return _find_pictures(path, kind=folder_kind(path))

    def images(self) -> Format:
        """Its pictures alone."""
        if not self.split:
            return _find_pictures(self.path)
        if (yaml := yolo_yaml(self.path)) is not None:
            return find_format(Path(f"{yaml}:{self.split}"), labels=False)
        for name in spellings(self.split):
            for place in (f"images/{name}", f"{name}/images", name):
                if (self.path / place).is_dir():
                    return _find_pictures(self.path / place)
        raise UserError(f"{self.named}: no split {self.split!r} in {self.path}; name its folder")

    def _coco(self) -> tuple[Path, str] | None:
        """The COCO JSON of the split, and how the files lie: beside each other, in
        ``annotations/``, or (Roboflow) in a folder per split."""
        for folder in (self.path, self.path / "annotations"):
            jsons = [file for file in sorted(folder.glob("*.json")) if looks_like_coco(file)]
            jsons = [file for file in jsons if not is_index(file)]
            if self.split:
                fitting = [json for json in jsons if same_split(split_of(json), self.split)]
                jsons = [json for json in fitting if json.name.startswith("instances")] or fitting
            if len(jsons) > 1:
                splits = f", or a split: {self.path}:{split_of(jsons[-1])}"
                raise UserError(
                    f"{self.named}: holds several COCO files "
                    f"({', '.join(file.name for file in jsons)}); name one of them"
                    f"{'' if self.split else splits}"
                )
            if jsons:
                return jsons[0], f"split {split_of(jsons[0])}" if self.split else ""
        return self._roboflow()

    def _roboflow(self) -> tuple[Path, str] | None:
        """The same where each split has a folder of its own."""
        found = {
            file.parent.name: file
            for file in sorted(self.path.glob("*/_annotations.coco.json"))
            if looks_like_coco(file)
        }
        wanted = self.split or TRAIN
        name = next((one for one in found if same_split(one, wanted)), None)
        if name is None:
            return None
        return found[name], f"Roboflow's layout, split {name} of {', '.join(found)}"


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
            f"{path}: no picture in it{found}; name a folder of pictures, or of pictures and labels"
        )
    notes = [Problem("labels not read", path, "", kind)] if kind else []
    return Part(path, "image folder", images, stem_ids(images, folder), notes=notes)
