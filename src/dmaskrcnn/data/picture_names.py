"""Pictures under the names that exporters give them: with the folders of another machine, as a web
address, in other letters than their files have.

    /home/alice/data/p0.png    C:\\data\\p0.png    https://bucket/p0.png    my%20photo.jpg    P0.JPG
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from dmaskrcnn.data.image import is_image
from dmaskrcnn.data.values import shown


def find_renamed(
    names: Sequence[str], folders: Sequence[Path], taken: Iterable[Path]
) -> dict[str, Path | str]:
    """The files that are meant by names which are not there as they are written.

    A name is tried without its first folders, one after the other; then its last part, whether or
    not quoted, composed (NFC) or in capitals.

    Args:
        names: all that are missing, so that no file is given to two of them.
        folders: those of which the user says that the pictures are there: nobody guesses elsewhere.
        taken: the files of the other images.

    Returns:
        Per name its file; in words, why it is not certain which; or nothing.
    """
    same: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for name in _listing(folder):
            same[_letters(name)].append(folder / name)
    fits = {name: _fitting(name, folders, same) for name in names}
    wanted = Counter(os.path.abspath(file) for files in (*fits.values(), taken) for file in files)
    found: dict[str, Path | str] = {}
    for name, files in fits.items():
        if len(files) > 1:
            found[name] = f"{shown(name)} may be {files[0]} or {files[1]}"
        elif files and wanted[os.path.abspath(files[0])] > 1:
            found[name] = f"{shown(name)} may be {files[0]}, but so may another image"
        elif files:
            found[name] = files[0]
    return found


def holdings(folders: Iterable[Path]) -> str:
    """What pictures are in folders, in a few words: an example shows how their names differ."""
    said = []
    for folder in folders:
        names = [name for name in _listing(folder) if is_image(Path(name))]
        others = f" and {len(names) - 1} other pictures" if names[1:] else ""
        said.append(f"{folder} holds {shown(names[0]) if names else 'no picture'}{others}")
    return ", ".join(said)


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # one whose files may be opened, but not listed
        return []


def _fitting(name: str, folders: Sequence[Path], same: dict[str, list[Path]]) -> list[Path]:
    """The files that a name may mean."""
    if "://" in name:
        name = name.partition("?")[0]  # there a signature begins
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for first in range(len(parts)):
        tail = os.path.join(*parts[first:])
        if files := [folder / tail for folder in folders if os.path.isfile(folder / tail)]:
            return files
    return [file for file in same.get(_letters(parts[-1]), []) if file.is_file()] if parts else []


def _letters(name: str) -> str:
    return normalize("NFC", normalize("NFC", unquote(name)).casefold())
