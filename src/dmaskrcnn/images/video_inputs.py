"""Which input is what: pictures and folders of them, video files, streams, cameras. Imports neither
torch nor PyAV."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dmaskrcnn.data.globs import is_pattern, match, matches
from dmaskrcnn.data.image import VIDEO_SUFFIXES, list_images, unlisted
from dmaskrcnn.errors import UserError

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
    if is_video(path) and not is_pattern(path) and not path.is_dir():
        return VideoSource(text, "file", (name or Path(path.name)).with_suffix(""))
    return None


def is_video(path: Path) -> bool:
    """Whether it is a video by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def list_videos(folder: Path) -> list[Path]:
    """The video files in a folder and its subfolders. Errors as of `unlisted`."""
    return [
        Path(root, name)
        for root, folders, names in os.walk(folder, onerror=unlisted)
        if not _hide(folders)
        for name in names
        if is_video(Path(name)) and not name.startswith(".")
    ]


def _hide(folders: list[str]) -> None:
    folders[:] = [name for name in folders if not name.startswith(".")]


def videos_at(path: str | Path, out: Path | None = None) -> list[VideoSource]:
    """The videos that a path names: one, those in a folder, or those that a quoted pattern
    (``clips/*.mp4``) and the folders that it matches hold. Their names keep the path below the
    folder, or below the part that is no pattern.

    Args:
        path: as the user typed it.
        out: of a folder or pattern, none of those in it: an earlier run wrote them.

    Raises:
        UserError: a pattern that is none.
    """
    if (source := video_source(path)) is not None:
        return [source]
    root = Path(path)
    if is_pattern(path):
        root, found = matches(path)
        videos = {file for file in found if file.is_file() and is_video(file)}
        videos |= {file for one in found if one.is_dir() for file in list_videos(one)}
    else:
        videos = set(list_videos(root)) if root.is_dir() else set()
    if out is not None:
        apart = os.path.realpath(out) + os.sep
        videos = {file for file in videos if not os.path.realpath(file).startswith(apart)}
    ordered = sorted(videos, key=lambda file: file.relative_to(root).as_posix())
    return [VideoSource(str(v), "file", v.relative_to(root).with_suffix("")) for v in ordered]


def holds_pictures(path: str | Path) -> bool:
    """Whether there are pictures in a folder, or among what a pattern matches."""
    if is_pattern(path):
        with suppress(UserError):
            return bool(match(path)[1])
        return False
    return Path(path).is_dir() and bool(list_images(Path(path)))


def sort_inputs(
    inputs: Iterable[str | Path], out: Path | None = None
) -> tuple[list[str | Path], list[VideoSource]]:
    """What to read as pictures, and what as videos. A folder or pattern that holds both is in both.

    Args:
        inputs: as the user named them. What does not exist is left with the pictures, whose reader
            says so.
        out: as of `videos_at`.
    """
    pictures: list[str | Path] = []
    videos: dict[str, VideoSource] = {}
    for text in inputs:
        found = videos_at(text, out)
        for source in found:  # every video once, whatever the ways that lead to it
            known = os.path.realpath(source.address) if source.kind == "file" else source.address
            videos.setdefault(known, source)
        if not found or holds_pictures(text):
            pictures.append(text)
    return pictures, list(videos.values())
