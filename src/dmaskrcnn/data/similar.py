"""Pictures that are there more than once: files of the same content, and frames that look nearly
the same."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.image import decode_pixels, open_picture

# Pictures are compared by the differences between neighbouring pixels of a grey thumbnail: these
# know nothing of exposure, and fog's smooth shading, which makes two streets look alike to an
# ordinary hash, is a small part of them.
SIDE = 16
# Cosine of two such thumbnails. The most alike of different photographs had 0.48 (85,000 pairs of
# COCO), 0.50 (180,000 of a motorway's cameras) and 0.67 (24,000 in fog); copies, other JPEG quality
# and exposure have 0.96 and more; a camera that moves by 1 % of the picture's width 0.93 and more,
# by 2 % about 0.85.
ALIKE = 0.8
# Above this nothing has moved before a camera that stands. Of 13 photographs of fog, noise and JPEG
# left 0.999 (median), a dark patch of 3 % of the width 0.998, of 6 % 0.988, of 10 % 0.949.
COPY = 0.99
# Length of the differences, in grey levels; shorter ones show nothing that could be alike. The
# thickest fog of 219 photographs had 78.
FLAT = 16.0
# All pairs among so many neighbours in the list: a second, and 25 MB. Frames of a longer list are
# compared with the frames around them alone.
TOGETHER = 5000


def content_keys(paths: Sequence[Path]) -> list[Hashable]:
    """A key for each file: equal where it is the same file or has the same bytes. Only files of the
    same size are read."""
    real = [os.path.realpath(path) for path in paths]
    sizes = {path: _size(path) for path in real}
    times = Counter(sizes.values())
    keys: dict[str, Hashable] = {
        path: path
        if size < 0 or times[size] == 1
        else (size, hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest())
        for path, size in sizes.items()
    }
    return [keys[path] for path in real]


def same_images(a: Dataset, b: Dataset) -> list[tuple[str, str]]:
    """The files of ``b`` that are in ``a`` too, under the same name or another.

    Returns:
        ``(path in a, path in b)`` for each of them, in the order of ``b``.
    """
    sizes = set(map(_size, b.paths))
    candidates = [path for path in a.paths if _size(path) in sizes]
    keys = content_keys([*candidates, *b.paths])
    found = dict(zip(keys, candidates, strict=False))
    ours = zip(keys[len(candidates) :], b.paths, strict=True)
    return [(str(found[key]), str(path)) for key, path in ours if key in found]


def look_alikes(a: Dataset, b: Dataset) -> list[tuple[str, str]]:
    """The files of ``b`` that look nearly the same as one in ``a``: copies saved or resized anew,
    frames of the same moment.

    Of more than 5000 files in ``a`` only those are looked at whose name, but for the ending, is one
    in ``b``, too.

    Returns:
        ``(path in a, path in b)`` for each of them, in the order of ``b``.
    """
    names = {path.stem for path in b.paths}
    few = len(a.paths) <= TOGETHER
    candidates = [path for path in a.paths if few or path.stem in names]
    ours, found = _thumbnails(b.paths), []
    for start in range(0, len(candidates), TOGETHER):
        part = candidates[start : start + TOGETHER]
        alike = ours @ _thumbnails(part).T
        found += [
            (str(part[alike[i].argmax()]), str(b.paths[i]))
            for i in range(len(ours))
            if alike[i].max() > ALIKE
        ]
    return found


def similar_images(paths: Sequence[Path]) -> NDArray[np.int64]:
    """Which pictures look nearly the same, by themselves or by way of others: ``(n,)``, the index
    of the first picture that each belongs with, its own where it is like none before it.

    Pictures that cannot be read, or show nothing at all, are like no other. A progress bar is shown
    on stderr if that is a terminal.
    """
    thumbnails = _thumbnails(paths)
    first = np.arange(len(paths))
    for start in range(0, len(paths), TOGETHER):
        part = slice(start, start + TOGETHER)
        first[part] = start + _components(thumbnails[part] @ thumbnails[part].T > ALIKE)
    return first


def _thumbnails(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Each picture as `_look` sees it, ``(n, 480)``."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter lock
        looks = pool.map(_look, paths)
        bar = partial(tqdm, desc="comparing pictures", disable=None, unit="img", leave=False)
        seen = np.array(list(bar(looks, total=len(paths))), dtype=np.float32)
    return seen.reshape(len(paths), 2 * SIDE * (SIDE - 1))


def _look(path: Path) -> NDArray[np.float32]:
    """A picture as a vector of length 1: 2 × 16 × 15 differences between the neighbours of its
    thumbnail; shorter where there is nothing to see."""
    try:
        with open_picture(path) as picture:
            if picture.mode in ("L", "RGB"):
                picture.draft("L", (4 * SIDE, 4 * SIDE))  # JPEG: a fraction of the decoding
                grey = picture.convert("L")
            else:
                pixels = decode_pixels(path).mean(2, dtype=np.float32)
                grey = Image.fromarray(pixels.round().astype(np.uint8))
            small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    except Exception:  # Pillow raises many kinds; whoever needs the picture says what is wrong
        small = np.zeros((SIDE, SIDE), dtype=np.float32)
    return _steps(small)


def _steps(small: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.concatenate([np.diff(small, axis=axis).ravel() for axis in (0, 1)])
    return steps / max(float(np.linalg.norm(steps)), FLAT)


class Novelty:
    """Tells, of one picture after another, whether it is more than a copy of one before. One that
    shows nothing at all is new every time."""

    def __init__(self) -> None:
        self._seen = np.zeros((64, 2 * SIDE * (SIDE - 1)), dtype=np.float32)
        self._count = 0

    def __call__(self, picture: Image.Image) -> bool:
        """Whether this one is new; if so, it is remembered."""
        grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        look = _steps(np.asarray(grey, dtype=np.float32))
        if self._count and (self._seen[: self._count] @ look).max() > COPY:
            return False
        if self._count == len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
        self._seen[self._count] = look
        self._count += 1
        return True


def _components(linked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first member of the connected part of each node, ``(n,)``, of a symmetric ``(n, n)``."""
    first = np.full(len(linked), -1)
    for node in range(len(linked)):
        reached = np.array([node] if first[node] < 0 else [], dtype=np.int64)
        while len(reached):
            first[reached] = node
            (reached,) = (linked[reached].any(0) & (first < 0)).nonzero()
    return first


def _size(path: str | Path) -> int:
    """Bytes; -1 where the file is not there."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
