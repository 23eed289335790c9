"""Writes a labelled data set in another format: pictures copied or linked, labels beside them.

coco   images/  annotations.json
voc    JPEGImages/  Annotations/
yolo   images/  labels/  data.yaml
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image
from tqdm import tqdm

from dmaskrcnn.data import Dataset, open_dataset
from dmaskrcnn.data.coco_writer import to_coco
from dmaskrcnn.data.image import IMAGE_SUFFIXES, decode_pixels, open_picture, read_header
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.readable import check_headers
from dmaskrcnn.data.voc_writer import to_voc
from dmaskrcnn.data.yolo_names import NAME_FILES
from dmaskrcnn.data.yolo_writer import data_yaml, to_yolo
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.picture_files import kept_suffix, names_by_stem, save_picture
from dmaskrcnn.output_folder import OutputFolder

Format = Literal["coco", "voc", "yolo"]
_PICTURES = {"coco": "images", "voc": "JPEGImages", "yolo": "images"}
_LABELS = {"voc": ("Annotations", ".xml"), "yolo": ("labels", ".txt")}
_WHOLE = {"coco": "annotations.json", "yolo": "data.yaml"}
# By what suffix pictures of Pillow's formats are found where no list of them names them.
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp"}
_SUFFIXES |= {"TIFF": ".tif", "PPM": ".ppm"}


@dataclass
class ConvertSummary:
    """What was written.

    Attributes:
        out: the folder.
        images: their number.
        objects: of the data set that was read.
        lost: what the format cannot hold, in words, and how often.
    """

    out: Path
    images: int
    objects: int
    lost: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{count} {what}" for what, count in self.lost.items() if count]
        lines.append(f"{self.images} images, {self.objects} objects: {self.out}")
        return "\n".join(lines)


def convert_dataset(
    inputs: Sequence[Path | str],
    to: Format,
    out: Path | str,
    *,
    link: bool = False,
    drop_invalid: bool = False,
    orientation: Orientation = "auto",
) -> ConvertSummary:
    """Write labelled data in another format, such that ``open_dataset(out)`` gives the same images
    and objects, but for what the format cannot hold.

    Args:
        inputs: as of `open_dataset`; several become one.
        to: the format.
        out: a folder that is not there, is empty, or that an earlier call wrote.
        link: hard links to the pictures instead of copies.
        drop_invalid, orientation: as of `open_dataset`.

    Raises:
        UserError: bad input, no labels, a file that is in the way or cannot be written.
    """
    output = OutputFolder(Path(out), "convert", "convert.json", sole=True)
    data = open_dataset(*inputs, drop_invalid=drop_invalid, orientation=orientation)
    if not data.labelled:
        raise UserError(f"{inputs[0]}: holds images but no labels to convert; name labelled data")
    data = check_headers(data, drop_invalid)
    turned = [_is_turned(data, index, orientation) for index in range(len(data))]
    suffixes = [_found_by(path) if to in _LABELS else path.suffix for path in data.paths]
    foreign = [suffix is None for suffix in suffixes]
    rewritten = [one or other for one, other in zip(turned, foreign, strict=True)]
    names = [
        name.with_suffix(kept_suffix(name)) if new else name
        for name, new in zip(_names(data, suffixes, to), rewritten, strict=True)
    ]
    pictures = output.claim([Path(_PICTURES[to], name) for name in names], data.paths, rename=False)
    labels: list[Path] = []
    if to in _LABELS:
        folder, suffix = _LABELS[to]
        wanted = [Path(folder, name).with_suffix(suffix) for name in names]
        labels = output.claim(wanted, data.paths, rename=False)
    whole = output.claim([Path(_WHOLE[to])] if to in _WHOLE else [], data.paths, rename=False)
    content = {"to": to, "pictures": len(data)}
    count = 0 if data.objects is None else len(data.objects.labels)
    summary = ConvertSummary(output.path, len(data), count)
    lost = summary.lost
    output.begin(content, stale=lambda _: True)
    for index, picture in enumerate(tqdm(pictures, "converting", disable=None, unit="img")):
        _write_picture(data, index, picture, rewritten[index], link, output)
        if to == "voc":
            output.write_text(labels[index], to_voc(data, index, names[index], lost))
        elif to == "yolo":
            output.write_text(labels[index], to_yolo(data, index, lost))
    if to == "coco":
        named = [(index, name.as_posix()) for index, name in enumerate(names)]
        output.write_text(whole[0], json.dumps(to_coco(data, named)))
    elif to == "yolo":
        output.write_text(whole[0], data_yaml(data.classes))
    lost["pictures rewritten as 8-bit PNG: no labels find one of their format"] += sum(foreign)
    lost["pictures rewritten as their boxes see them, without EXIF's rotation"] += sum(turned)
    output.end(content)
    return summary


def _found_by(path: Path) -> str | None:
    """The suffix by which a picture is found in a folder; None: it has to become another format."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return path.suffix
    with open_picture(path) as picture:
        return _SUFFIXES.get(picture.format or "")


def _names(data: Dataset, suffixes: Sequence[str | None], to: Format) -> list[Path]:
    """Where the pictures go, below their folder: nothing hidden, which would not be found, and no
    other ``images`` in it, where labels are looked for by that name; nor any whose labels would
    have the name of YOLO's list of classes."""
    plain = []
    for path, suffix in zip(data.paths, suffixes, strict=True):
        *folders, name = (part.lstrip(".") for part in Path(os.path.abspath(path)).parts)
        file = Path(*(folder for folder in folders if folder.lower() != "images"), name)
        if file.suffix != suffix:
            known = file.suffix.lower() in Image.registered_extensions()  # not that of frame.0001
            file = file.with_name((file.stem if known else name) + (suffix or ".png"))
        plain.append(file)
    lists = {Path(name).stem for name in NAME_FILES if Path(name).suffix == ".txt"}
    return names_by_stem(plain, lists if to == "yolo" else ())


def _is_turned(data: Dataset, index: int, orientation: Orientation) -> bool:
    """Whether the boxes lie in the picture as it is stored although EXIF turns it: in another
    format nothing says so."""
    header = read_header(data.paths[index])
    return header.turned and (orientation == "stored" or data.size(index) != header.displayed)


def _write_picture(
    data: Dataset, index: int, picture: Path, rewritten: bool, link: bool, output: OutputFolder
) -> None:
    source = data.paths[index]
    if rewritten:
        pixels = Image.fromarray(decode_pixels(source, data.size(index), data.stored))
        output.write(picture, partial(save_picture, pixels, source))
    elif link:
        try:
            picture.parent.mkdir(parents=True, exist_ok=True)
            os.link(os.path.realpath(source), picture)
        except OSError as error:
            raise UserError(
                f"{picture}: cannot be a link to {source} ({error.strerror}); leave --link out"
            ) from error
        output.wrote(picture)
    else:
        output.write(picture, partial(shutil.copyfile, source))
