"""Whose files are whose in a folder that a verb writes to.

Every such folder has an index, a JSON file that says how its files were made::

    {"format": "dmaskrcnn dehaze 1",       the verb, and the version of what follows
     "complete": true,                     false: being written, interrupted, or killed
     …                                     what the verb has to say
     "files": ["a/x.png"],                 of this run, relative to the index
     "earlier": ["b/y.png"]}               of runs before, which this one did not write again

It is written, incomplete, before the first of its files and completed after the last. So a folder
is whole or says that it is not, and what a killed run left is known: the next run may overwrite or
remove what is listed, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import MOST_DATA, atomic_write, fitting, left_in, read_json, write_text

HEAD = 500  # bytes of a page in which its mark is looked for


def mark(verb: str) -> str:
    """What every index, and every single file that is its own index, begins with."""
    return f"dmaskrcnn {verb}"


def index_format(verb: str) -> str:
    """The ``format`` of the verb's indices."""
    return f"{mark(verb)} 1"


def is_index(path: Path) -> bool:
    """Whether a file, of a folder that is read, begins as the index of one that a verb wrote."""
    with suppress(OSError), path.open("rb") as file:
        words = file.read(HEAD).split(b'"', 4)
        return len(words) > 3 and words[1] == b"format" and words[3].startswith(b"dmaskrcnn ")
    return False


def not_ours(path: Path, verb: str) -> UserError:
    """The refusal to write where something is that the verb has not written."""
    return UserError(f"{path}: exists and was not written by {mark(verb)}; choose another --out")


def check_marked(path: Path, verb: str, sign: str = "") -> None:
    """For a file that has no index beside it: raises UserError where it exists, and the first bytes
    do not say that the verb wrote it: by its mark or, in a form that has no place for one, by a
    ``sign``, a regular expression for how its files begin."""
    if not os.path.lexists(path):
        return
    try:
        if path.is_file():  # nothing that would block, such as a pipe
            with path.open("rb") as file:
                head = file.read(HEAD)
                ours = re.match(sign.encode(), head) if sign else mark(verb).encode() in head
                if ours:
                    return
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); choose another --out"
        ) from error
    raise not_ours(path, verb)


def numbered(name: Path) -> Iterator[Path]:
    """``a/x.png``, ``a/x-2.png``, ``a/x-3.png``, …; cut where they would be too long."""
    name = fitting(name)
    yield name
    for number in count(2):
        yield name.with_name(f"{name.stem}-{number}{name.suffix}")


def create_numbered_folder(out: Path, name: str) -> Path:
    """Make OUT/NAME-N with the first N that is free. Raises UserError where OUT cannot be written
    to."""
    number = 1
    while True:
        folder = out / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not out.is_dir():
                raise UserError(f"--out {out}: is a file; choose a folder") from None
            number += 1
        except OSError as error:
            raise UserError(
                f"--out {out}: cannot be written ({error.strerror}); choose another folder"
            ) from error


class OutputFolder:
    """A folder, and what runs of one verb wrote into it.

    A run claims its files, begins, writes them, and ends; `note` says in between how far it is.
    Links in the folder are never followed out of it: what lies behind one is not ours.

    Attributes:
        path: the folder; it may not exist yet.
        index: the JSON file in it.
        content: what the index says of the run before; empty where there was none.
        earlier: the files of runs before, as in the index.

    Args:
        path: the folder.
        verb: whose.
        index: the name of the JSON file.
        sole: nothing but this verb's files may be there, since the whole folder will be read.
        indent: of the JSON file; None writes it in one line.

    Raises:
        UserError: the path is no folder, or the index (``sole``: anything) is not of the verb.
    """

    def __init__(
        self, path: Path, verb: str, index: str, *, sole: bool = False, indent: int | None = 1
    ):
        self.path, self.verb, self.index, self.indent = path, verb, path / index, indent
        self.content: dict[str, Any] = {}
        self.earlier: set[str] = set()
        self._claimed: dict[str, str] = {}  # by what a file system that ignores case takes for it
        self._written: set[str] = set()
        self._must_stay: set[str] = set()
        self._real = os.path.realpath(path)
        there = next((p for p in (path, *path.parents) if os.path.lexists(p)), Path())
        if not there.is_dir():
            raise UserError(
                f"{path}: cannot be written ({there} is no folder); choose another --out"
            )
        if os.path.lexists(self.index):
            self._read()
        # Hidden files are what is left of a write that was killed.
        elif sole and any(not other.name.startswith(".") for other in path.glob("*")):
            raise UserError(
                f"{path}: holds other things than files of {mark(verb)}; choose another --out"
            )

    def name(self, path: Path) -> str:
        """A file in the folder as the index names it."""
        return path.relative_to(self.path).as_posix()

    def owns(self, path: Path) -> bool:
        """Whether this is a file that a run before wrote, and no input of this one: it may be
        overwritten or removed."""
        if self.name(path) not in self.earlier or os.path.realpath(path) in self._must_stay:
            return False
        return path.is_symlink() or not path.is_dir()

    def claim(
        self, names: Iterable[Path], inputs: Iterable[Path] = (), *, rename: bool = True
    ) -> list[Path]:
        """Where this run will write its files, such that no two share a path and nothing is
        overwritten but files of runs before.

        Args:
            names: relative to the folder, as the files should be called.
            inputs: files that must stay, wherever they are.
            rename: append ``-2``, ``-3``, … to a name that is taken.

        Raises:
            UserError: a folder is a link that leads out; or, without ``rename``, a name is taken.
        """
        self._must_stay |= {os.path.realpath(path) for path in inputs}
        paths = []
        for name in names:
            if self._leads_out(self.path / name):
                raise UserError(
                    f"{self.path / name}: lies behind a link that leads out of {self.path}; remove "
                    "the link or choose another --out"
                )
            candidates = numbered(name)
            path = self.path / next(candidates)
            while problem := self._in_the_way(path):
                if not rename:
                    raise problem
                path = self.path / next(candidates)
            self._claimed[_folded(path)] = self.name(path)
            paths.append(path)
        return paths

    def begin(
        self,
        content: Mapping[str, Any],
        stale: Callable[[PurePosixPath], bool] = lambda _: False,
        kept: Collection[Path] = (),
    ) -> None:
        """Mark the folder incomplete; call this before the first file changes.

        What killed runs left of files half written is removed.

        Args:
            content: what the index says besides.
            stale: which files of runs before are removed now.
            kept: claimed files that stay as they are, and count as written.

        Raises:
            UserError: a file cannot be written or removed.
        """
        self._written = {self.name(path) for path in kept}
        self.note(content)
        known = {*self._claimed.values(), *self.earlier, self.index.name}
        for name in sorted(self.earlier - self._written):
            if stale(PurePosixPath(name)) and self.owns(self.path / name):
                _remove(self.path / name)
        beside: dict[Path, list[str]] = {}
        for path in (self.path / name for name in known):
            beside.setdefault(path.parent, []).append(path.name)
        for folder, names in beside.items():
            for left in left_in(folder, names):
                _remove(left)

    def write(self, path: Path, write: Callable[[Path], object]) -> None:
        """`atomic_write` of a claimed file. May be called in threads."""
        atomic_write(path, write)
        self.wrote(path)

    def write_text(self, path: Path, text: str) -> None:
        """`write_text` of a claimed file."""
        write_text(path, text)
        self.wrote(path)

    def wrote(self, path: Path) -> None:
        """Say that a claimed file was written by other means."""
        self._written.add(self.name(path))

    def note(self, content: Mapping[str, Any]) -> None:
        """Write the index of a run that goes on."""
        self._save(content, False, set(self._claimed.values()))

    def end(self, content: Mapping[str, Any], complete: bool = True) -> None:
        """Write the index of a run that is over, complete or not."""
        self.earlier = {name for name in self.earlier if os.path.lexists(self.path / name)}
        self._save(content, complete, self._written)

    def _save(self, content: Mapping[str, Any], complete: bool, files: set[str]) -> None:
        content = {"format": index_format(self.verb), "complete": complete, **content}
        content |= {"files": sorted(files), "earlier": sorted(self.earlier - files)}
        text = json.dumps(content, ensure_ascii=False, indent=self.indent)
        write_text(self.index, text + "\n")

    def _read(self) -> None:
        try:
            content = read_json(self.index, MOST_DATA)
            known = content["format"] == index_format(self.verb)
            if known and isinstance(content["complete"], bool):
                listed = [*content.get("files", ()), *content.get("earlier", ())]
                self.earlier = {name for name in listed if self._may_be_ours(name)}
                self.content = content
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise not_ours(self.index, self.verb)

    def _may_be_ours(self, name: str) -> bool:
        """Whether a listed name is that of a file in the folder: lists can be tampered with."""
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return False
        return not self._leads_out(self.path / path)

    def _leads_out(self, path: Path) -> bool:
        return not Path(os.path.realpath(path.parent)).is_relative_to(self._real)

    def _in_the_way(self, path: Path) -> UserError | None:
        """Why this file cannot be written, if so."""
        if _folded(path) in self._claimed or path == self.index:
            return not_ours(path, self.verb)
        if os.path.realpath(path) in self._must_stay:
            return UserError(f"{path}: is an input and would be overwritten; choose another --out")
        return not_ours(path, self.verb) if os.path.lexists(path) and not self.owns(path) else None


def _folded(path: Path) -> str:
    """Some file systems take a.jpg and A.jpg for the same file."""
    return str(path).casefold()


def _remove(path: Path) -> None:
    """Remove a file, or a link and not what it leads to."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be removed ({error.strerror}); choose another --out"
        ) from error
