"""The actor: it has a detector or dehazer in memory and does shards."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image as PillowImage

from dmaskrcnn.cluster import store as stored
from dmaskrcnn.cluster.libraries import need
from dmaskrcnn.cluster.sources import read_rows
from dmaskrcnn.cluster.store import Store
from dmaskrcnn.cluster.tasks import Item, Task, Work
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.images.jobs import read_batches

KEY = b"dmaskrcnn"  # of what a part says of itself
PAUSES = (2, 4, 8)  # seconds, after which a bucket that does not answer is asked again
LASTING = (PermissionError, IsADirectoryError, NotADirectoryError)  # of file:// alone


class UnreachableError(UserError):
    """A bucket that does not answer, which is no fault of the picture."""


@dataclass(frozen=True)
class Picture:
    """A picture of a shard.

    Attributes:
        said: what it is called in the results.
        name: relative path.
        source: a path or address; its bytes where it comes from a table, None for a null.
    """

    said: str
    name: str
    source: str | bytes | None


def part_name(number: int) -> str:
    """The Parquet file of a shard."""
    return f"part-{number:06d}.parquet"


class Worker:
    """Does shards, one after the other.

    Args:
        task: what to do.
        out: the address to write to.
        parcels: references to what `Task.parcels` gives.
        device: where networks run.
        threads: that decode pictures.
        max_pixels: of the largest picture that is decoded; None: no limit.
    """

    def __init__(
        self,
        task: Task,
        out: str,
        parcels: Sequence[Any],
        device: str,
        threads: int,
        max_pixels: int | None,
    ):
        PillowImage.MAX_IMAGE_PIXELS = max_pixels
        self.task, self.store, self.threads = task, Store(out), threads
        self.parcels, self.device = parcels, device
        self.begin: Callable[[], Work] | None = None

    def __call__(self, shard: dict[str, Any]) -> dict[str, Any]:
        """Write a shard; what its part says of itself, its number, what is odd about it, and the
        text of an error that ends the job: of what an actor raises, Ray tells no more than a
        traceback."""
        try:
            return {**self._write(int(shard["number"]), pictures(shard)), "error": ""}
        except UserError as error:
            return {"number": int(shard["number"]), "error": str(error)}

    def _load(self) -> Callable[[], Work]:
        # not kept: Ray ends actors by killing them, which would leave the files for ever
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            folders = []
            for number, parcel in enumerate(need("ray").get(list(self.parcels))):
                folders.append(Path(scratch, str(number)))
                folders[-1].mkdir()
                for name, data in parcel.items():
                    (folders[-1] / name).write_bytes(data)
            return self.task.begin(folders, self.device, self.store)

    def _write(self, number: int, shard: Iterator[Picture]) -> dict[str, Any]:
        began = time.monotonic()
        self.begin = self.begin or self._load()
        rows = self._rows(shard, self.begin())
        doubts = [row.pop("doubt") for row in rows if "doubt" in row]
        counts = {
            "images": len(rows),
            "errors": sum(row.get("error") is not None for row in rows),
            "objects": sum(len(row.get("detections", ())) for row in rows),
            "seconds": round(time.monotonic() - began, 3),
        }
        said = counts | {"max_pixels": PillowImage.MAX_IMAGE_PIXELS}
        table = need("pyarrow").Table.from_pylist(rows, schema=schema(self.task, said))
        write = need("pyarrow.parquet").write_table
        self.store.write(part_name(number), lambda path: write(table, path, compression="zstd"))
        return {"number": number, "doubt": doubts[0] if doubts else "", **counts}

    def _rows(self, shard: Iterator[Picture], work: Work) -> list[dict[str, Any]]:
        """A row per picture, in their order."""
        rows = dict[int, dict[str, Any]]()
        writing: list[tuple[int, Future[dict[str, Any]]]] = []
        size = self.task.batch_size

        def unreadable(numbered: tuple[int, Picture], error: UserError) -> None:
            if isinstance(error, UnreachableError):
                raise error
            place, picture = numbered
            source = picture.source
            head = f"image of {len(source):,} bytes" if isinstance(source, bytes) else picture.said
            reason = str(error).removeprefix(f"{head}: ")
            rows[place] = {"file": picture.said, "error": reason}

        def finish(most: int) -> None:
            """Waits until at most so many pictures are being written: they take memory."""
            while len(writing) > most:
                place, future = writing.pop(0)
                rows[place] |= future.result()

        with (
            ThreadPoolExecutor(self.threads, "read") as readers,
            ThreadPoolExecutor(2, "write") as writers,
        ):
            for batch in read_batches(enumerate(shard), _read, readers, size, unreadable):
                writes = work([item for _, item in batch])
                for ((place, picture), item), write in zip(batch, writes, strict=True):
                    height, width = item.image.shape[1:]
                    rows[place] = {"file": picture.said, "width": width, "height": height}
                    writing.append((place, writers.submit(write)))
                finish(most=max(2, size))
            finish(most=0)
        return [row for _, row in sorted(rows.items())]


def schema(task: Task, counts: dict[str, Any]) -> Any:
    """Of a part, with what it says of itself."""
    pa = need("pyarrow")
    common = [("file", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    columns = [*common, *task.columns(), ("error", pa.string())]
    return pa.schema(columns, metadata={KEY: json.dumps(counts).encode()})


def pictures(shard: dict[str, Any]) -> Iterator[Picture]:
    """The pictures of a shard (`Sources.shards`), of tables one batch of rows after the other."""
    for file, name in zip(shard["files"], shard["names"], strict=True):
        yield Picture(str(file), str(name), str(file))
    if table := str(shard["table"]):
        first, last = int(shard["first"]), int(shard["last"])
        for row, data in read_rows(table, str(shard["column"]), first, last):
            suffix = ".jpg" if data and data[:2] == b"\xff\xd8" else ".png"
            name = PurePosixPath(str(shard["name"]), f"{row:09d}{suffix}")
            yield Picture(f"{table}#{row}", name.as_posix(), data)


def _read(numbered: tuple[int, Picture]) -> Item:
    picture = numbered[1]
    if picture.source is None:
        raise UserError("no picture in this row")
    source: Path | bytes
    if isinstance(picture.source, bytes):
        source = picture.source
    elif stored.is_uri(picture.source):
        source = _patiently(picture.source)
    else:
        source = Path(picture.source)
    return Item(picture.said, PurePosixPath(picture.name), source, decode_image(source))


def _patiently(address: str) -> bytes:
    """What a file in a bucket holds. Raises UserError where it is not there, and `UnreachableError`
    where the bucket keeps failing."""
    for pause in (*PAUSES, None):
        try:
            return stored.read(address)
        except FileNotFoundError:
            raise UserError("no such picture; check the address") from None
        except OSError as error:
            said = f"cannot be fetched ({first_line(error)})"
            if isinstance(error, LASTING):
                raise UserError(f"{said}; check who may read it") from error
            if pause is None:
                raise UnreachableError(
                    f"{address}: {said}. What is done stays; once it answers, the same command "
                    "goes on"
                ) from error
            time.sleep(pause)
    raise AssertionError("the last one returns or raises")
