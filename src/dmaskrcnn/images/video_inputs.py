"""Which input is what: pictures and folders of them, video files, streams, cameras. Imports neither
torch nor PyAV."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dmaskrcnn.data.image import list_images

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg"}
    | {".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
STREAM = re.compile(r"(rtsps?|https?|rtmps?|udp|rtp|srt|tcp)://", re.IGNORECASE)


@dataclass(frozen=True)
class VideoSource:
    """Where frames come from.

    Attributes:
        address: a path, a URL, or the number of a camera.
        kind: which of them.
        name: relative path, without a suffix, that what is made of it should keep.
    """

    address: str
    kind: Literal["file", "stream", "camera"]
    name: Path

    def __str__(self) -> str:
        """For messages and indices: without the password of a URL."""
        if self.kind == "stream":
            return re.sub(r"(?<=//)([^/@:]*):[^/@]*@", r"\1:***@", self.address)
        return f"camera {self.address}" if self.kind == "camera" else self.address


def video_source(text: str | Path, name: Path | None = None) -> VideoSource | None:
    """The stream, camera or video file that this names, told from the text; None for another path.
    A number is a camera unless there is a file of that name.

    Args:
        text: as the user typed it.
        name: see `VideoSource`; by default the file's own name, or one made of the address.
    """
    text = str(text)
    if STREAM.match(text):
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        place = re.sub(r"[^\w.-]+", "-", host + parts.path).strip("-.")
        return VideoSource(text, "stream", Path(place or "stream"))
    if text.isascii() and text.isdigit() and not os.path.lexists(text):
        return VideoSource(text, "camera", Path(f"camera-{int(text)}"))
    path = Path(text)
    if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir():
        return VideoSource(text, "file", (name or Path(path.name)).with_suffix(""))
    return None


def list_videos(folder: Path, out: Path | None = None) -> list[Path]:
    """The video files in a folder and its subfolders, ordered by path; none of those in ``out``,
    which an earlier run wrote."""
    apart = os.path.realpath(out) + os.sep if out is not None else None
    found = [
        Path(root, name)
        for root, folders, names in os.walk(folder)
        if not _hide(folders)
        for name in names
        if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")
    ]
    found = [path for path in found if not apart or not os.path.realpath(path).startswith(apart)]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _hide(folders: list[str]) -> None:
    folders[:] = [name for name in folders if not name.startswith(".")]


def sort_inputs(
    inputs: Iterable[str | Path], out: Path | None = None
) -> tuple[list[str | Path], list[VideoSource]]:
    """What to read as pictures, and what as videos. A folder that holds both is in both.

    Args:
        inputs: as the user named them. What does not exist is left with the pictures, whose reader
            says so.
        out: as of `list_videos`.
    """
    pictures: list[str | Path] = []
    videos: dict[str, VideoSource] = {}
    for text in inputs:
        if (source := video_source(text)) is not None:
            _add(videos, [source])
            continue
        folder = Path(text)
        found = list_videos(folder, out) if folder.is_dir() else []
        _add(videos, [_in_folder(path, folder) for path in found])
        if not found or list_images(folder):
            pictures.append(text)
    return pictures, list(videos.values())


def _in_folder(path: Path, folder: Path) -> VideoSource:
    return VideoSource(str(path), "file", path.relative_to(folder).with_suffix(""))


def _add(videos: dict[str, VideoSource], sources: Sequence[VideoSource]) -> None:
    """Every video once, whatever the ways that lead to it."""
    for source in sources:
        known = os.path.realpath(source.address) if source.kind == "file" else source.address
        videos.setdefault(known, source)
