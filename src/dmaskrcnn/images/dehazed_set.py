"""A data set dehazed once: pictures that the next run with the same method, weights and images
finds again.

``cache.json`` beside the pictures says what they were made from::

    {"format": "dmaskrcnn dehazed data set 1",
     "key": "…",                                 digest of method, weights, device and the hazy
     pictures "seconds": {"street.png": 0.081}}           per picture that is done, the time that
     dehazing took, without files

Pictures are PNG, so that a detector sees exactly what the dehazer gave.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.dehazing.dehazer import Dehazer
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, file_digest, write_text
from dmaskrcnn.images.jobs import Progress

FORMAT = "dmaskrcnn dehazed data set 1"
NOTE_SECONDS = 10.0  # between two writes of cache.json: what a kill can lose


@dataclass(frozen=True)
class Dehazed:
    """What ``dehaze_dataset`` gives.

    Attributes:
        data: the same images and annotations with the dehazed pictures.
        seconds: per image, the time that dehazing took, without reading and writing files.
        key: digest of all that the pictures depend on.
    """

    data: Dataset
    seconds: tuple[float, ...]
    key: str


def dehaze_dataset(dehazer: Dehazer, data: Dataset, folder: Path, progress: bool = True) -> Dehazed:
    """Dehaze every picture of a data set into ``folder``, unless that is done already.

    Pictures made from something else are replaced; an interruption keeps those that are done.

    Args:
        dehazer: the method.
        data: with or without labels, which are not looked at.
        folder: new, empty, or written by this function.
        progress: report progress on stderr.

    Raises:
        UserError: a picture cannot be read or written, or the folder holds other things.
    """
    index = folder / "cache.json"
    key = _key(dehazer, data)
    before = _read(index)
    paths = dehazed_paths(data, folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    done: dict[str, float] = before["seconds"] if before.get("key") == key else {}
    done = {
        name: done[name]
        for name, path in zip(names, paths, strict=True)
        if name in done and path.is_file()
    }
    todo = [i for i, name in enumerate(names) if name not in done]
    if todo or before.get("key") != key:
        # before the first picture changes: those that were there count no more
        _write(index, key, done)
        for name in set(before.get("seconds", ())) - set(names):
            _remove(folder, name)
        _dehaze(dehazer, data, {i: paths[i] for i in todo}, index, key, done, progress)
    return Dehazed(data.with_pictures(paths), tuple(done[name] for name in names), key)


def dehazed_paths(data: Dataset, folder: Path) -> list[Path]:
    """Where ``dehaze_dataset`` puts the picture of each image, in order: ``NAME.png``; where names
    repeat, in a folder of the name of the folder that the image lies in, and if that does not tell
    them apart, of its number."""
    names = [f"{path.stem}.png" for path in data.paths]
    names = [
        f"{path.parent.name}/{n}" if again else n
        for path, n, again in zip(data.paths, names, _repeats(names), strict=True)
    ]
    return [
        folder / (f"{i}/{n}" if again else n)
        for i, (n, again) in enumerate(zip(names, _repeats(names), strict=True), 1)
    ]


def _repeats(names: Sequence[str]) -> list[bool]:
    """Which names there are several times, to file systems that ignore case."""
    counts = Counter(map(str.casefold, names))
    return [counts[name.casefold()] > 1 for name in names]


def pictures_digest(data: Dataset) -> str:
    """A digest of the pictures of a data set, byte by byte and in order, and of the sizes that its
    annotations state."""
    parts = [
        (file_digest(path), data.size(i) if data.labelled else None)
        for i, path in enumerate(data.paths)
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _dehaze(
    dehazer: Dehazer,
    data: Dataset,
    todo: dict[int, Path],
    index: Path,
    key: str,
    done: dict[str, float],
    progress: bool,
) -> None:
    """Dehaze the images of these indices; ``done`` receives the seconds of each, and is written now
    and then and however this ends."""
    report = Progress(len(todo), progress, dehazer.method)
    complete, noted = False, time.monotonic()
    try:
        for i, path in todo.items():
            hazy = data.load(i).image
            began = time.perf_counter()
            clear = dehazer(hazy)[0].cpu()
            taken = time.perf_counter() - began
            atomic_write(path, lambda temporary, clear=clear: _save(clear, temporary))
            done[path.relative_to(index.parent).as_posix()] = round(taken, 6)
            report.step()
            if time.monotonic() - noted > NOTE_SECONDS:
                _write(index, key, done)
                noted = time.monotonic()
        complete = True
    finally:
        report.close()
        # the first failure is the one to report
        with suppress(*(() if complete else (UserError,))):
            _write(index, key, done)


def _remove(folder: Path, name: str) -> None:
    """Remove a picture of ours that no image has any more."""
    path = (folder / name).resolve()
    if path.suffix == ".png" and folder.resolve() in path.parents:
        path.unlink(missing_ok=True)


def _save(image: Tensor, path: Path) -> None:
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(
        path, format="PNG", compress_level=1
    )


def _key(dehazer: Dehazer, data: Dataset) -> str:
    device = "cpu" if dehazer.device is None else dehazer.device.type
    weights = file_digest(dehazer.weights) if dehazer.weights else None
    return hashlib.sha256(
        repr((FORMAT, dehazer.method, weights, device, pictures_digest(data))).encode()
    ).hexdigest()


def _read(index: Path) -> dict[str, Any]:
    """What an earlier run noted; empty in a new folder. Raises UserError in a folder that no run
    made."""
    if not index.is_file():
        # Hidden files are what is left of a write that was killed.
        if index.parent.is_dir() and any(
            not path.name.startswith(".") for path in index.parent.iterdir()
        ):
            raise UserError(
                f"{index.parent}: holds other things than dehazed pictures of this "
                "program; choose another --out"
            )
        return {}
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        if content["format"] == FORMAT and isinstance(content["key"], str):
            return {
                **content,
                "seconds": {str(name): float(taken) for name, taken in content["seconds"].items()},
            }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(f"{index}: exists and is no cache of dehazed pictures; choose another --out")


def _write(index: Path, key: str, seconds: dict[str, float]) -> None:
    write_text(
        index, json.dumps({"format": FORMAT, "key": key, "seconds": seconds}, indent=1) + "\n"
    )
