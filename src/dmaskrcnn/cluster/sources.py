"""Which pictures a job has, in an order that never changes: of folders, patterns, lists, Parquet
and buckets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from dmaskrcnn.cluster import store
from dmaskrcnn.cluster.libraries import need
from dmaskrcnn.data.image import is_image
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import MOST_DATA, read_bytes
from dmaskrcnn.images.picture_files import find_images
from dmaskrcnn.images.video_inputs import is_video
from dmaskrcnn.output_folder import numbered

NOWHERE = Path(os.devnull)  # an output folder that no input lies in, where that is a bucket


@dataclass(frozen=True)
class Table:
    """A Parquet file that holds pictures themselves.

    Attributes:
        address: of it.
        column: binary, or a struct with ``bytes``, as Hugging Face's ``datasets`` writes it.
        rows: how many pictures.
        name: relative path that what is made of them keeps: ``name/ROW``.
    """

    address: str
    column: str
    rows: int
    name: str


@dataclass
class Sources:
    """The pictures of a job.

    Attributes:
        files: address and relative path of each, no two paths alike but for their suffixes. All
            addresses are absolute: actors have a working directory of their own.
        tables: Parquet files with more of them.
    """

    files: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files) + sum(table.rows for table in self.tables)

    @property
    def digest(self) -> str:
        """It tells lists of pictures apart."""
        said = hashlib.sha256()
        for parts in (*self.files, *((t.address, t.column, str(t.rows)) for t in self.tables)):
            said.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\0\0")
        return said.hexdigest()

    def shards(self, size: int) -> Iterator[dict[str, Any]]:
        """The pictures in parts of at most a size, of plain values that Ray can send: ``files``
        and ``names``, or ``table``, ``column``, ``name`` and the ``first`` and ``last`` row."""
        parts: list[dict[str, Any]] = []
        for first in range(0, len(self.files), size):
            files, names = zip(*self.files[first : first + size], strict=True)
            parts.append({"files": list(files), "names": list(names)})
        for table in self.tables:
            said = {"table": table.address, "column": table.column, "name": table.name}
            for first in range(0, table.rows, size):
                parts.append({**said, "first": first, "last": min(first + size, table.rows)})
        empty = {"files": [], "names": [], "table": "", "column": "", "name": "", "first": 0}
        for number, part in enumerate(parts):
            yield {"number": number, **empty, "last": 0, **part}


def find_sources(inputs: Sequence[str | Path], out: str, column: str = "") -> Sources:
    """The pictures that are named, every file once.

    Args:
        inputs: what plain verbs take (pictures, folders, patterns); ``.txt`` lists of paths, one a
            line, relative to the list; ``.parquet`` files and folders of them, with a column of
            paths or of pictures; and addresses of all these in buckets.
        out: the address of the output, which is no input.
        column: of Parquet; by default the only one that can be it.

    Raises:
        UserError: nothing there, no picture in it, a video, or a column that is not clear.
    """
    found: dict[str, PurePosixPath] = {}
    tables: dict[str, tuple[str, int]] = {}
    if not inputs:
        raise UserError("inputs: no images given; name pictures, a folder, a list or Parquet")
    for given in map(store.address, inputs):
        if is_video(Path(given)):
            raise UserError(f"{given}: is a video; without --cluster it can be read")
        if Path(given).suffix.lower() == ".txt":
            pairs: Iterable[tuple[str, PurePosixPath]] = _of_list(given)
        elif parquet := _parquet_in(given, out):
            pairs = []
            for file in parquet:
                which, rows, paths = _open_table(file, column)
                if paths is None:
                    tables.setdefault(store.absolute(file), (which, rows))
                else:
                    pairs += _named([_beside(file, path) for path in paths])
        elif store.is_uri(given):
            pairs = _of_bucket(given)
        else:
            folder = NOWHERE if store.is_uri(out) else Path(out)
            files = find_images([Path(given)], folder)
            pairs = ((str(file), PurePosixPath(name.as_posix())) for file, name in files)
        for one, name in pairs:
            found.setdefault(store.absolute(one), name)
    taken: set[str] = set()
    files = [(one, _free(name, taken)) for one, name in found.items()]
    named = {file: _free(PurePosixPath(Path(file).stem), taken) for file in tables}
    return Sources(files, [Table(f, *tables[f], name=named[f]) for f in tables])


def read_rows(table: str, column: str, first: int, last: int) -> Iterator[tuple[int, bytes | None]]:
    """Rows ``first`` to ``last`` of a table, and the bytes of their pictures; None: a null."""
    parquet, (system, path) = need("pyarrow.parquet"), store.opened(table)
    with system.open_input_file(path) as stream:
        file, before = parquet.ParquetFile(stream), 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before + rows > first and before < last:
                batches = file.iter_batches(16, [group], [column])
                values = (value for batch in batches for value in batch.column(0))
                start, stop = max(first - before, 0), min(last - before, rows)
                for row, value in enumerate(islice(values, start, stop), before + start):
                    data = value.as_py()
                    yield row, data.get("bytes") if isinstance(data, dict) else data
            before += rows


def _parquet_in(given: str, out: str) -> list[str]:
    """The Parquet files of an input that is one, or a folder of them without pictures."""
    if given.endswith(".parquet"):
        return [given]
    if not store.is_uri(given) and not Path(given).is_dir():
        return []
    inside = [one for one in store.listed(given) if not _lies_in(one, out)]
    files = [one for one in inside if one.endswith(".parquet")]
    return [] if any(is_image(Path(one)) for one in inside) else files


def _lies_in(file: str, out: str) -> bool:
    if store.is_uri(file) or store.is_uri(out):
        return file.startswith(out + "/")
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(out))


def _open_table(file: str, column: str) -> tuple[str, int, list[str] | None]:
    """The column, how many rows, and the paths that it holds; None where it holds pictures."""
    parquet, types = need("pyarrow.parquet"), need("pyarrow.types")
    try:
        system, path = store.opened(file)
        with system.open_input_file(path) as stream:
            opened = parquet.ParquetFile(stream)
            kinds = {name: _holds(of, types) for name, of in _columns(opened.schema_arrow)}
            which = _choose(file, kinds, column)
            rows = opened.metadata.num_rows
            if kinds[which] == "pictures":
                return which, rows, None
            return which, rows, [p for p in opened.read([which])[which].to_pylist() if p]
    except (OSError, need("pyarrow").ArrowInvalid) as error:
        raise UserError(f"{file}: cannot be read ({first_line(error)}); check the file") from error


def _columns(schema: Any) -> Iterator[tuple[str, Any]]:
    return ((schema.field(i).name, schema.field(i).type) for i in range(len(schema)))


def _holds(kind: Any, types: Any) -> str:
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return "pictures"
    if types.is_binary(kind) or types.is_large_binary(kind):
        return "pictures"
    return "paths" if types.is_string(kind) or types.is_large_string(kind) else ""


def _choose(file: str, kinds: dict[str, str], column: str) -> str:
    pictures, paths = ([n for n, kind in kinds.items() if kind == k] for k in ("pictures", "paths"))
    possible = [column] if column else pictures or paths
    if len(possible) == 1 and kinds.get(possible[0]):
        return possible[0]
    known = ", ".join(pictures + paths) or "none of them"
    raise UserError(f"{file}: which column holds paths or pictures ({known})? say --column NAME")


def _of_list(given: str) -> Iterator[tuple[str, PurePosixPath]]:
    try:
        data = store.read(given) if store.is_uri(given) else read_bytes(given, MOST_DATA)
    except OSError as error:
        raise UserError(f"{given}: cannot be read ({first_line(error)}); check the path") from error
    lines = data.decode("utf-8-sig", "surrogateescape").splitlines()
    if not (files := [_beside(given, line.strip()) for line in lines if line.strip()]):
        raise UserError(f"{given}: names no picture; write a path a line")
    return _named(files)


def _of_bucket(given: str) -> Iterator[tuple[str, PurePosixPath]]:
    found = store.listed(given)
    files = [one for one in found if is_image(Path(one)) or one == given]
    if not files:
        raise UserError(f"{given}: no images there; check the address")
    return _named(files, root="" if files == [given] else given)


def _beside(file: str, path: str) -> str:
    """A path in a list, which is relative to the list."""
    path = store.address(path)
    if store.is_uri(path) or os.path.isabs(path):
        return path
    return (
        f"{file.rpartition('/')[0]}/{path}" if store.is_uri(file) else str(Path(file).parent / path)
    )


def _named(files: list[str], root: str = "") -> Iterator[tuple[str, PurePosixPath]]:
    """Each with its path below a root, by default the folder that all share."""
    parts = [_parts(file) for file in files]
    if root:
        shared = len(_parts(root))
    else:  # what the first and the last in the alphabet share, all do
        first, last = min(parts)[:-1], max(parts)[:-1]
        equal = (a == b for a, b in zip(first, last, strict=False))
        shared = sum(takewhile(bool, equal))
    return ((file, PurePosixPath(*one[shared:])) for file, one in zip(files, parts, strict=True))


def _parts(file: str) -> list[str]:
    """Of a path, without what leads up or to a root."""
    file = file.partition("://")[2] if store.is_uri(file) else os.path.abspath(file)
    return [part for part in PurePosixPath(Path(file).as_posix()).parts if part not in ("/", "..")]


def _free(name: PurePosixPath, taken: set[str]) -> str:
    """The name, with a number where one is taken that differs in suffix or case alone."""
    for one in numbered(Path(name)):
        stem = one.with_suffix("").as_posix().casefold()
        if stem not in taken:
            taken.add(stem)
            return one.as_posix()
    raise AssertionError("numbers do not end")
