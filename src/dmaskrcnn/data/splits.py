"""What may stand behind a path: a split (``data.yaml:val``) or a size (``RUN@480``)."""

from __future__ import annotations

import re
from pathlib import Path

TRAIN = "train"
_SAME = (("train", "training"), ("val", "valid", "validation"), ("test", "testing"))
_NAMED = re.compile(r"(.+):([A-Za-z0-9_-]+)")
_SIZED = re.compile(r"(.+)@(\d{1,6})")


def spellings(split: str) -> tuple[str, ...]:
    """The names that tools give the same split, its own first."""
    others = next((names for names in _SAME if split in names), (split,))
    return tuple(dict.fromkeys((split, *others)))


def same_split(one: str, other: str) -> bool:
    """Whether two names mean the same split; ``train2017`` is a ``train``."""
    return any(re.fullmatch(rf"{re.escape(name)}[-_]?\d*", one) for name in spellings(other))


def without_split(path: Path) -> tuple[Path, str]:
    """``data.yaml:val`` → ``data.yaml``, ``val``; an empty name where there is none, or the file is
    really called so."""
    found = _NAMED.fullmatch(str(path))
    if found is None or path.exists() or not Path(found[1]).exists():
        return path, ""
    return Path(found[1]), found[2]


def without_size(path: Path) -> tuple[Path, int]:
    """``RUN@480`` → ``RUN``, 480; 0 where there is no size, or the folder is really called so."""
    found = _SIZED.fullmatch(str(path))
    if found is None or path.exists():
        return path, 0
    return Path(found[1]), int(found[2])
