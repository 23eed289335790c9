"""Writing files so that an interruption or a full disk never leaves half of one behind; telling
files apart by content."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from dmaskrcnn.errors import UserError, first_line


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any numbers and names; equal on every machine, unrelated for unequal
    parts."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


# reading it means setting it, for the whole process: once, before there are threads
UMASK = os.umask(0)
os.umask(UMASK)


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path beside ``path``, then rename it: readers see the old
    file or the whole new one.

    Raises:
        UserError: naming the file, when the disk is full or the folder cannot be written to. An
        earlier file stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~UMASK)  # mkstemp's files are private
        temporary.replace(path)
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


def becomes(name: str) -> str | None:
    """The name of the file that a temporary one, left by a killed ``atomic_write``, was to become;
    None for the name of any other file."""
    # mkstemp puts eight characters between prefix and suffix
    match = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}(\.[^.]+)?", name)
    return match[1] if match and Path(match[1]).suffix == (match[2] or "") else None


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
    """``atomic_write`` for UTF-8 text."""
    atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content. Raises UserError naming a file that cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return digest.hexdigest()
