"""Tiny data sets on disk for the tests of the data room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write_image(
    path: Path, height: int = 20, width: int = 30, seed: int = 0, orientation: int | None = None
) -> np.ndarray:
    """A random picture; returns its pixels as stored (lossless for PNG)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return pixels


def coco_object(
    number: int, image: int = 1, category: int = 3, bbox: Any = (2, 3, 10, 8), **fields: Any
) -> dict[str, Any]:
    """One COCO annotation."""
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(bbox),
        "iscrowd": 0,
        **fields,
    }


def write_coco(
    folder: Path,
    objects: list[dict[str, Any]],
    images: int = 2,
    name: str = "instances.json",
    **overrides: Any,
) -> Path:
    """``images`` PNG files of 20 x 30 in ``images/`` with ids from 1, categories car (3) and
    motorbike (7)."""
    entries = []
    for i in range(1, images + 1):
        write_image(folder / "images" / f"{i:03}.png", seed=i)
        entries.append({"id": i, "file_name": f"{i:03}.png", "height": 20, "width": 30})
    data = {
        "images": entries,
        "annotations": objects,
        "categories": [{"id": 3, "name": "car"}, {"id": 7, "name": "Motorbike"}],
        **overrides,
    }
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A COCO JSON of one object, with id 11, after a change of its content."""
    path = write_coco(folder, [coco_object(11)])
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    return path


def voc_xml(
    objects: str, size: str = "<size><width>30</width><height>20</height><depth>3</depth></size>"
) -> str:
    """A Pascal VOC annotation."""
    return f"<annotation><filename>x</filename>{size}{objects}</annotation>"


def voc_object(name: str, box: tuple[object, ...] = (3, 4, 12, 11), extra: str = "") -> str:
    """One ``<object>``."""
    tags = "".join(
        f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{extra}<bndbox>{tags}</bndbox></object>"


def write_voc(folder: Path, objects: dict[str, str]) -> Path:
    """A VOC folder: per stem the text of its objects."""
    (folder / "Annotations").mkdir(parents=True)
    for i, (stem, text) in enumerate(objects.items()):
        write_image(folder / "JPEGImages" / f"{stem}.png", seed=i)
        (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(text))
    return folder


def counts_of(mask: np.ndarray) -> list[int]:
    """Run lengths of a mask, column by column, beginning with the zeros."""
    flat = mask.flatten(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return np.diff(np.concatenate([[0], edges])).tolist()


def compressed(counts: list[int]) -> str:
    """COCO's compressed text of run lengths, written from its description (maskApi.c,
    ``rleToString``)."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def truncate(picture: Path) -> None:
    """Leave the head of a picture."""
    picture.write_bytes(picture.read_bytes()[:300])
