"""What is written beside a video, and the lines drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from dmaskrcnn.errors import UserError
from dmaskrcnn.images.track import Line
from dmaskrcnn.tags import Lettering, Tag


def draw_lines(picture: Image.Image, tallies: Sequence[tuple[Line, str]]) -> None:
    """Draw the lines and, at the beginning of each, who crossed it; in place."""
    pen = ImageDraw.Draw(picture)
    size = (picture.width * picture.height) ** 0.5
    letters = Lettering(max(11, round(size / 45)))
    for line, text in tallies:
        pen.line(line.ends, fill=(255, 255, 255), width=max(2, round(size / 250)))
        pen.line(line.ends, fill=(200, 30, 30), width=max(1, round(size / 500)))
        width = letters.width(text)
        left = max(0, min(round(line.ends[0]), picture.width - width))
        top = max(0, min(round(line.ends[1]), picture.height - letters.height))
        letters.draw(pen, Tag(left, top, left + width, top + letters.height, text, (255, 255, 255)))


class WholeLines:
    """A text file that holds whole lines, whenever one looks."""

    def __init__(self, path: Path):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # a link is replaced, not followed
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._unwritten(error) from error
        self._size = 0

    def append(self, text: str) -> None:
        """Write a line."""
        data = text.encode(errors="backslashreplace")
        try:
            if self._file.write(data) != len(data):
                raise OSError("the disk is full")
        except OSError as error:
            self._file.truncate(self._size)
            raise self._unwritten(error) from error
        self._size += len(data)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _unwritten(self, error: OSError) -> UserError:
        return UserError(
            f"{self.path}: cannot be written ({error.strerror or error}); free some space or "
            "choose another --out"
        )
