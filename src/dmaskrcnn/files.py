"""Writing files so that no interruption, full disk or power cut leaves half of one behind; reading
them so that neither a pipe nor a huge one stops the program; telling files apart by content."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:  # Windows: there is no lock that a kill releases
    fcntl = None

from dmaskrcnn.errors import UserError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any numbers and names; equal on every machine, unrelated for unequal
    parts."""
    text = "/".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


# bytes that are read into memory: the largest annotations in use are Objects365's (5.5 GB), of
# which a machine that trains on them reads less at once; those of COCO have 0.45, LVIS's 1.1 GB
MOST_DATA = 4_000_000_000
# descriptions and settings, which people write or a training does: the largest are metrics.csv of
# long trainings (100 bytes for 20 iterations)
MOST_TEXT = 100_000_000
MOST_YAML = 1_000_000  # config.yaml has 2,000, and 1 MB takes the parser 3 s
NAME_MAX = 255  # bytes of a name, of all file systems in use


# reading it means setting it, for the whole process: once, before there are threads
UMASK = os.umask(0)
os.umask(UMASK)


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path beside ``path``, then rename it: readers see the old
    file or the whole new one, also after a power cut.

    Waiting for the disk takes about 10 ms (ext4 on a cloud volume; 1 GB: 5 s).

    Raises:
        UserError: naming the file, when the disk is full or the folder cannot be written to. An
        earlier file stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # libraries tell the format by the suffix; none that they know is longer; torch wants one
        suffix = path.suffix if 0 < len(path.suffix) <= 12 else ".tmp"
        handle, name = tempfile.mkstemp(suffix, temporary_mark(path.name), path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~UMASK)  # mkstemp's files are private
        _to_disk(temporary)
        temporary.replace(path)
        with suppress(OSError):  # not every file system knows it of folders
            _to_disk(path.parent)
    except UserError:
        raise
    except Exception as error:  # safetensors and torch report a full disk by errors of their own
        if not isinstance(error, OSError) and not re.search(
            "I/O error|writ|unexpected pos", str(error)
        ):
            raise
        reason = getattr(error, "strerror", None) or first_line(error).rpartition("I/O error: ")[2]
        if "unexpected pos" in reason:  # torch's way to say that fewer bytes were taken than given
            reason = "the disk is full"
        raise UserError(
            f"{path}: cannot be written ({reason}); free some space or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def left_in(folder: Path, names: Iterable[str]) -> list[Path]:
    """The temporary files that killed calls of ``atomic_write`` for files of these names left in
    the folder."""
    marks = set(map(temporary_mark, names))
    return [path for path in folder.glob(".*-*") if path.name.partition("-")[0] + "-" in marks]


def temporary_mark(name: str) -> str:
    """What temporary files begin with: short, however long the name is."""
    return f".{hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()}-"


def _to_disk(path: Path) -> None:
    if os.name != "nt" or path.is_file():
        handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fitting(name: Path, room: int = 15) -> Path:
    """A relative path whose last part is cut, before its suffix, where it is too long for a file
    system.

    Args:
        name: the path.
        room: bytes to leave free: for a number, or another suffix.
    """
    most = NAME_MAX - room
    if len(os.fsencode(name.stem)) <= most or len(name.suffix) > room:
        return name
    # a character that is cut in two is left out
    return name.with_name(os.fsencode(name.stem)[:most].decode(errors="ignore") + name.suffix)


def save_picture_whole(picture: Image, path: Path, **options: Any) -> None:
    """``picture.save(path, **options)`` that notices a full disk: by itself Pillow writes a JPEG
    past Python's files, and takes a short write for a whole one (seen with Pillow 13.0).

    Raises:
        OSError: where not all of it can be written.
    """
    data = io.BytesIO()
    data.name = path.name  # type: ignore[attr-defined]  # tells Pillow the format
    picture.save(data, **options)
    path.write_bytes(data.getvalue())


def check_writable(folder: Path) -> None:
    """Make the folder and try to write in it: better to fail before long work than after it. Raises
    UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def write_text(path: Path, text: str) -> None:
    """``atomic_write`` for UTF-8 text; what is no character, as in names that are not UTF-8, is
    escaped as JSON does it."""
    data = text.encode(errors="backslashreplace")
    atomic_write(path, lambda temporary: temporary.write_bytes(data))


def check_regular(path: Path) -> None:
    """Raises OSError, as ``open`` does, for what is there and no regular file: opening a pipe would
    wait for ever, reading a device never end."""
    if os.path.lexists(path) and not os.path.isfile(path):
        number = errno.EISDIR if os.path.isdir(path) else errno.EINVAL
        broken = os.path.islink(path) and not os.path.exists(path)
        said = "is a link that leads nowhere" if broken else "is no regular file"
        raise OSError(number, "is a folder" if number == errno.EISDIR else said, str(path))


def read_bytes(path: str | os.PathLike[str], most: int = MOST_TEXT) -> bytes:
    """All of a regular file. Raises OSError, also for one of more than ``most`` bytes."""
    check_regular(Path(path))
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"has more than {most / 1e6:,.0f} MB", str(path))
        return file.read(most)


def read_json(path: str | os.PathLike[str], most: int = MOST_TEXT) -> Any:
    """What a JSON file holds. Raises OSError as ``read_bytes``, and ValueError for anything that is
    not JSON, or nested too deep for Python."""
    data = read_bytes(path, most)
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def load_yaml(path: str | os.PathLike[str], most: int = MOST_YAML) -> Any:
    """What a YAML file holds. Raises OSError as ``read_bytes``, and ValueError for anything that is
    not YAML, and for aliases: a few of them make gigabytes, or a list that holds itself."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases (*name) are not read, write the value itself")
            return super().compose_node(parent, index)

    data = read_bytes(path, most)
    try:
        return yaml.load(data, Loader)
    except Exception as error:  # of YAML, and what its constructors meet, such as a 13th month
        raise ValueError(first_line(error)) from error


_held: set[int] = set()


def _let_go() -> None:
    """A loading process must not hold its parent's locks: it outlives a kill by seconds."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def alone_in(folder: Path, busy: str) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder; however this one ends, they may
    come in. Where folders cannot be locked, nothing happens.

    Raises:
        UserError: with the message ``busy``, where another process is in it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    _held.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(busy) from None
        except OSError:  # some network file systems
            pass
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content. Raises UserError naming a file that cannot be read."""
    digest = hashlib.sha256()
    try:
        check_regular(path)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return digest.hexdigest()
