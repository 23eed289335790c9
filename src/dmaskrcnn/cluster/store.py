"""Files in folders and in buckets, by their address: a path, or what ``pyarrow.fs`` takes
(``s3://bucket/folder``, ``gs://…``, ``hdfs://…``, ``file:///…``)."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from dmaskrcnn.cluster.libraries import need
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import atomic_write

_SCHEME = re.compile(r"([a-z][a-z0-9+]+):/+", re.IGNORECASE)  # of one letter: a Windows drive
# what is written there is seen when all of it has arrived; elsewhere a file is moved to its place
_WHOLE = ("s3", "gcs", "abfs")


def address(text: str | os.PathLike[str]) -> str:
    """A path or URI as it was typed: in a `Path` the ``//`` of a URI has become ``/``."""
    text = os.fspath(text)
    found = _SCHEME.match(text)
    if found is None:
        return text
    rest = text[found.end() :]
    return f"{found[1]}:///{rest}" if found[1].lower() == "file" else f"{found[1]}://{rest}"


def is_uri(text: str) -> bool:
    """Whether it is the address of a file system of pyarrow, and no path."""
    return bool(_SCHEME.match(text))


def absolute(text: str) -> str:
    """The address, of a path the absolute one."""
    return text if is_uri(text) else str(Path(text).absolute())


@cache
def _file_system(root: str) -> tuple[Any, str]:
    try:
        return need("pyarrow.fs").FileSystem.from_uri(root)
    except (OSError, ValueError) as error:
        raise UserError(f"{root}: cannot be opened ({first_line(error)}); check it") from error


def opened(text: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. Raises UserError for one that pyarrow does
    not know."""
    if not is_uri(text):
        return need("pyarrow.fs").LocalFileSystem(), text
    scheme, _, rest = text.partition("://")
    if scheme.lower() in ("s3", "gs", "gcs") and "?" not in rest:  # one connection for a bucket
        bucket, slash, path = rest.partition("/")
        return _file_system(f"{scheme}://{bucket}")[0], f"{bucket}{slash}{path}"
    return _file_system(text)


def read(text: str) -> bytes:
    """All of a file. Raises OSError, FileNotFoundError among them."""
    system, path = opened(text)
    with system.open_input_stream(path) as stream:
        return stream.read()


def listed(text: str, recursive: bool = True) -> list[str]:
    """The addresses of the files in a folder or below a prefix, ordered; of a file, its own; none
    of what is not there. Raises UserError where it cannot be listed."""
    system, path = opened(text)
    selector = need("pyarrow.fs").FileSelector(path, recursive=recursive, allow_not_found=True)
    try:
        if system.get_file_info(path).is_file:
            return [text]
        found = [info.path for info in system.get_file_info(selector) if info.is_file]
    except OSError as error:
        raise UserError(f"{text}: cannot be listed ({first_line(error)}); check it") from error
    root = text.rstrip("/")
    return sorted(f"{root}/{one.removeprefix(path.rstrip('/')).lstrip('/')}" for one in found)


class Store:
    """The folder or bucket that a job writes to.

    Attributes:
        address: of it; absolute, as actors have a working directory of their own.
    """

    def __init__(self, out: str | os.PathLike[str]):
        self.address = absolute(address(out)).rstrip("/") or "/"
        self._local = None if is_uri(self.address) else Path(self.address)

    def of(self, name: str) -> str:
        """The address of a file in it."""
        return f"{self.address}/{name}"

    def names(self) -> list[str]:
        """The files in it, those in subfolders left out."""
        root = f"{self.address.rstrip('/')}/"
        return [one.removeprefix(root) for one in listed(self.address, recursive=False)]

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file, whole or not at all; what is there makes way.

        Args:
            name: relative path; folders are made.
            write: writes the file to the path that it is given, which has the same suffix.

        Raises:
            UserError: it cannot be written, or a link leads out of the folder.
        """
        if self._local is not None:
            path = self._local / name
            inside = Path(os.path.realpath(path.parent)).is_relative_to(self._local.resolve())
            if not inside:
                raise UserError(f"{path}: a link leads out of {self.address}; choose another --out")
            atomic_write(path, write)
            return
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "file").with_suffix(Path(name).suffix)
            write(file)
            data = file.read_bytes()
        try:
            _put(*opened(self.of(name)), data)
        except OSError as error:
            raise UserError(
                f"{self.of(name)}: cannot be written ({first_line(error)}); choose another --out"
            ) from error


def _put(system: Any, path: str, data: bytes) -> None:
    if system.type_name in _WHOLE:
        with system.open_output_stream(path) as stream:
            stream.write(data)
        return
    folder, _, name = path.rpartition("/")
    system.create_dir(folder, recursive=True)
    begun = f"{folder}/.{name}-{uuid4().hex}"
    with system.open_output_stream(begun) as stream:
        stream.write(data)
    system.move(begun, path)
