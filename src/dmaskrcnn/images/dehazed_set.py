"""A data set dehazed once: pictures that the next run with the same method, weights and images
finds again.

``cache.json`` beside the pictures says, besides what every index says (see
`dmaskrcnn.output_folder`), what they were made from::

    {"format": "dmaskrcnn dehaze 1", "complete": true,
     "key": "…",                         digest of method, weights, device and hazy pictures
     "seconds": {"street.png": 0.081},   of each picture that is done, without reading and writing
     "files": ["street.png"], "earlier": []}

Pictures are PNG, so that a detector sees exactly what the dehazer gave.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import file_digest, save_picture_whole
from dmaskrcnn.images.jobs import Progress
from dmaskrcnn.output_folder import OutputFolder

if TYPE_CHECKING:
    from torch import Tensor

    from dmaskrcnn.dehazing.dehazer import Dehazer

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
    # All that lies in it is a data set: a picture of somebody else's would be one of its images.
    output = OutputFolder(folder, "dehaze", "cache.json", sole=True)
    key = _key(dehazer, data)
    paths = dehazed_paths(data, folder)
    output.claim([path.relative_to(folder) for path in paths], data.paths, rename=False)
    names, before = [output.name(path) for path in paths], _done_before(output, key)
    done = {
        name: before[name]
        for name, path in zip(names, paths, strict=True)
        if name in before and path.is_file()
    }
    todo = {i: paths[i] for i, name in enumerate(names) if name not in done}
    if todo or output.content.get("key") != key or not output.content["complete"]:
        kept = [folder / name for name in done]
        output.begin({"key": key, "seconds": done}, stale=lambda _: True, kept=kept)
        _dehaze(dehazer, data, todo, output, key, done, progress)
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
    """A digest of the pictures of a data set, byte by byte and in order, of the sizes that its
    annotations state, and of whether rotations by EXIF are left off."""
    parts = [
        (file_digest(path), data.size(i) if data.labelled else None)
        for i, path in enumerate(data.paths)
    ]
    return hashlib.sha256(repr((data.stored, parts)).encode()).hexdigest()


def _dehaze(
    dehazer: Dehazer,
    data: Dataset,
    todo: dict[int, Path],
    output: OutputFolder,
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
            hazy = data.picture(i)
            began = time.perf_counter()
            clear = dehazer(hazy)[0].cpu()
            taken = time.perf_counter() - began
            output.write(path, partial(_save, clear))
            done[output.name(path)] = round(taken, 6)
            report.step()
            if time.monotonic() - noted > NOTE_SECONDS:
                output.note({"key": key, "seconds": done})
                noted = time.monotonic()
        complete = True
    finally:
        report.close()
        # the first failure is the one to report
        with suppress(*(() if complete else (UserError,))):
            output.end({"key": key, "seconds": done}, complete)


def _done_before(output: OutputFolder, key: str) -> dict[str, float]:
    """The seconds of the pictures that an earlier run made from the same."""
    seconds = output.content.get("seconds")
    if output.content.get("key") != key or not isinstance(seconds, dict):
        return {}
    return {name: float(taken) for name, taken in seconds.items() if isinstance(taken, float)}


def _save(image: Tensor, path: Path) -> None:
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    save_picture_whole(picture, path, format="PNG", compress_level=1)


def _key(dehazer: Dehazer, data: Dataset) -> str:
    device = "cpu" if dehazer.device is None else dehazer.device.type
    weights = file_digest(dehazer.weights) if dehazer.weights else None
    return hashlib.sha256(
        repr((dehazer.method, weights, device, pictures_digest(data))).encode()
    ).hexdigest()
