"""Name tags on pictures: how large their letters are, and where they find room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from PIL import ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]


class Tag(NamedTuple):
    """A placed label: its rectangle in pixels (right and bottom exclusive), text and colour."""

    left: int
    top: int
    right: int
    bottom: int
    text: str
    colour: Colour


class Lettering:
    """Text in Pillow's own font.

    Attributes:
        font: the font.
        line: height of a line in pixels, from an ascender to a descender: all tags are of one
            height.
        height: of a tag in pixels: the line and its margins.

    Args:
        size: of the font, in pixels.
    """

    def __init__(self, size: int):
        self.font = ImageFont.load_default(size=size)
        _, top, _, bottom = self.font.getbbox("Ag")
        self.line = math.ceil(bottom - top)
        self._top = math.floor(top)  # where a line's ink begins below the pen
        self._across = max(2, round(self.line / 4))
        self._down = max(1, self._across - 1)
        self.height = self.line + 2 * self._down

    def width(self, text: str) -> int:
        """The width of a tag in pixels: the text and its margins."""
        return math.ceil(self.font.getlength(text)) + 2 * self._across

    def draw(self, pen: ImageDraw.ImageDraw, tag: Tag) -> None:
        """A filled rectangle with the text, black or white, on it."""
        pen.rectangle((tag.left, tag.top, tag.right - 1, tag.bottom - 1), fill=tag.colour)
        # Whichever contrasts more: black and white tie at a relative luminance of about 0.18 (WCAG
        # 2.1, contrast ratio).
        red, green, blue = ((value / 255) ** 2.2 for value in tag.colour)
        dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue <= 0.18
        at = (tag.left + self._across, tag.top + self._down - self._top)
        pen.text(at, tag.text, fill=(255, 255, 255) if dark else (0, 0, 0), font=self.font)

    def write(
        self, pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int, grey: int
    ) -> None:
        """Plain text at (x, y), cut with an ellipsis where it is wider than ``width`` pixels."""
        if self.font.getlength(text) > width:
            while text and self.font.getlength(text + "...") > width:
                text = text[:-1]
            text = text.rstrip() + "..."
        pen.text(at, text, fill=(grey, grey, grey), font=self.font)


def place_tags(
    corners: list[tuple[int, int, int, int]],
    captions: Sequence[tuple[str, ...]],
    colours: list[Colour],
    letters: Lettering,
    height: int,
    width: int,
) -> list[Tag]:
    """A place for each caption: inside the image, at its box, and clear of the tags before it where
    there is room.

    Args:
        corners: of the boxes, as from ``pixel_corners``.
        captions: for each box the texts that would do, the best first; the first that fits into the
            image is taken.
        colours: of the tags.
        letters: of the text.
        height, width: of the image, in pixels.

    Returns:
        The tags in the order of the boxes, without those too wide for an image of a few pixels.
    """
    placed: list[Tag] = []
    h = letters.height
    for (left, top, right, bottom), texts, colour in zip(corners, captions, colours, strict=True):
        text = next((t for t in texts if letters.width(t) <= width and h <= height), None)
        if text is None:
            continue
        w = letters.width(text)
        below, end = bottom + 1, right + 1 - w
        # above, inside, below, beside; then further away
        places = [(left, top - h), (left, top), (end, top - h), (left, below), (end, below)]
        places += [(left, below - h), (right + 1, top), (left - w, top)]
        places += [
            (left, top - 2 * h),
            (left, below + h),
            (left, top - 3 * h),
            (left, below + 2 * h),
        ]
        inside = [(min(max(x, 0), width - w), min(max(y, 0), height - h)) for x, y in places]
        tags = [Tag(x, y, x + w, y + h, text, colour) for x, y in inside]
        # The first place that is free, or else the one that hides the least.
        placed.append(min(tags, key=lambda tag: sum(_overlap(tag, other) for other in placed)))
    return placed


def _overlap(a: Tag, b: Tag) -> int:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(0, width) * max(0, height)
