"""Whether the data are still those with which a training began, by content: for ``--resume``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmaskrcnn.data import Dataset

# Bytes that are read at either end of a picture: to read all would take hours with 100,000 of them,
# and no edit of a compressed picture leaves its size and both ends as they were.
ENDS = 4096
READERS = 8  # threads; see data/readable.py


def fingerprint(source: Dataset, target: Dataset | None) -> dict[str, Any]:
    """Per domain a number for each picture and for its labels, int64 ``(n,)``; the classes.

    Pictures are known by their size in bytes and by their beginning and end, labels exactly; names
    and folders do not matter. "broken" holds, by domain and place, why pictures could not be
    decoded: nothing yet.
    """
    domains = {"source": source} | ({"target": target} if target is not None else {})
    return {
        "source_images": len(source),
        "target_images": len(target) if target is not None else 0,
        "classes": list(source.classes),
        "pictures": {
            domain: torch.tensor(picture_numbers(data), dtype=torch.int64)
            for domain, data in domains.items()
        },
        "labels": {domain: _labels(data) for domain, data in domains.items()},
        "broken": {domain: {} for domain in domains},
    }


def find_gone(
    before: Mapping[str, Any], now: Mapping[str, Any], data: Mapping[str, Dataset | None]
) -> dict[str, list[int]]:
    """By domain the places of broken pictures that have been removed since.

    Args:
        before: the `fingerprint` with which the training began, with what it has found broken.
        now: that of ``data``.
        data: by domain.

    Raises:
        ValueError: anything else changed; the message says what.
    """
    try:
        if before["classes"] != now["classes"]:
            raise ValueError(f"the classes are {', '.join(now['classes'])}")
        return {
            domain: _align(domain, before, now, images)
            for domain, images in data.items()
            if images is not None
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the run is of an earlier version of this program") from error


def _align(
    domain: str, before: Mapping[str, Any], now: Mapping[str, Any], data: Dataset
) -> list[int]:
    pictures, labels = before["pictures"][domain].tolist(), before["labels"][domain].tolist()
    own_pictures, own_labels = now["pictures"][domain].tolist(), now["labels"][domain].tolist()
    broken, gone, image = before["broken"][domain], [], 0
    for place, picture in enumerate(pictures):
        there = image < len(data) and own_pictures[image] == picture
        if place in broken:
            # mended, or removed? removed as long as fewer are left than there should be
            if not there and len(pictures) - place > len(data) - image:
                gone.append(place)
            else:
                image += 1
            continue
        if image >= len(data):
            break
        if not there or own_labels[image] != labels[place]:
            what = "labels of" if there else "picture"
            raise ValueError(f"the {what} {data.paths[image]}")
        image += 1
    if len(pictures) - len(gone) != len(data):
        raise ValueError(f"there are {len(data)} {domain} images, not {len(pictures) - len(gone)}")
    return gone


def picture_numbers(data: Dataset) -> list[int]:
    """A number for each picture, in [-2^63, 2^63), that changes with its content; see
    `fingerprint`."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(_picture, data.paths))


def _picture(path: Path) -> int:
    """0 for a file that cannot be read: a broken one, like any other."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = file.read(ENDS)
            file.seek(max(len(ends), size - ENDS))
            return _number(str(size).encode(), ends, file.read(ENDS))
    except OSError:
        return 0


def _labels(data: Dataset) -> Tensor:
    objects = data.objects
    if objects is None:
        return torch.zeros(len(data), dtype=torch.int64)
    numbers = []
    for image in range(len(data)):
        rows = slice(int(objects.first[image]), int(objects.first[image + 1]))
        text = objects.text[objects.text_first[rows.start] : objects.text_first[rows.stop]]
        lengths = objects.text_first[rows.start : rows.stop + 1] - objects.text_first[rows.start]
        columns = (objects.boxes, objects.labels, objects.crowd, objects.difficult)
        own = (column[rows].tobytes() for column in columns)
        size = str(data.size(image)).encode()
        numbers.append(_number(size, *own, lengths.tobytes(), text.tobytes()))
    return torch.tensor(numbers, dtype=torch.int64)


def _number(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little", signed=True)
