"""How results show themselves: as a picture, and in a notebook as a picture and a table."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dmaskrcnn.data.image import IMAGE_SUFFIXES
from dmaskrcnn.data.masks_field import FramesOfMasks, held_masks, packed_masks
from dmaskrcnn.data.picture_input import Picture
from dmaskrcnn.draw import JPEG, draw_objects
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, save_picture_whole

if TYPE_CHECKING:
    from torch import Tensor

MOST_ROWS = 30
LONGEST_SIDE = 1024  # px of the picture: a notebook keeps it in its file


class Shown:
    """What `Detections` do for the eye."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: FramesOfMasks
    classes: tuple[str, ...]
    image: Any

    @property
    def height(self) -> int:
        """The height of the image, in pixels."""
        return held_masks(self).shape[1]

    @property
    def width(self) -> int:
        """The width of the image, in pixels."""
        return held_masks(self).shape[2]

    @property
    def names(self) -> list[str]:
        """The class name of each object."""
        return [self.classes[label] for label in self.labels.tolist()]

    def draw(self, image: Picture | None = None) -> Image.Image:
        """A picture of ``image`` with masks, boxes, names and scores.

        Args:
            image: in any form, see `picture_input.image_pixels`; of the size of the masks. None:
                the one that the detections remember.

        Returns:
            An RGB picture of the same size; the input is left as it is.

        Raises:
            UserError: no image is given and none remembered, it cannot be read, or has another size
                than the masks.
        """
        image = self.image if image is None else image
        if image is None:
            raise UserError(
                "image: these detections remember none (they were found in one of many that were "
                "in memory); give it, as in found.draw(image)"
            )
        of_each = zip(self.names, self.scores.tolist(), strict=True)
        captions = [(f"{name} {score:.2f}", name) for name, score in of_each]
        return draw_objects(image, self.boxes, self.labels, packed_masks(self), captions)

    def save(self, path: str | os.PathLike[str], image: Picture | None = None) -> None:
        """Write what `draw` gives, in the format that the name says.

        Raises:
            UserError: as of `draw`; the name is no picture's, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{path}: has no suffix of a picture; name it .jpg or .png")
        drawn = self.draw(image)
        options = JPEG if path.suffix.lower() in (".jpg", ".jpeg") else {}
        atomic_write(path, lambda temporary: save_picture_whole(drawn, temporary, **options))

    def show(self, image: Picture | None = None) -> None:
        """Show what `draw` gives in the system's viewer."""
        self.draw(image).show()

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture (outlines on grey where none is remembered, or it is
        gone) and a table."""
        heads = ("class", "score", "x1", "y1", "x2", "y2")
        of_each = zip(self.names, self.scores.tolist(), self.boxes.tolist(), strict=True)
        rows = [
            (name, f"{score:.3f}", *(f"{value:.1f}" for value in box))
            for name, score, box in of_each
        ]
        picture = None
        if self.height and self.width:
            try:
                picture = self.draw()
            except UserError:
                picture = self.draw(np.full((self.height, self.width), 128, dtype=np.uint8))
        return _as_html(repr(self), heads, rows, picture)


def _as_html(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], picture: Image.Image | None
) -> str:
    """A title, a picture reduced to ``LONGEST_SIDE``, and a table of the first ``MOST_ROWS`` rows;
    all text is escaped."""
    shown = "".join(_row("td", row) for row in rows[:MOST_ROWS])
    table = f"<table>{_row('th', heads)}{shown}</table>" if rows else ""
    more = f"<p>… and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    return f"<div><p>{escape(title)}</p>{_picture(picture) if picture else ''}{table}{more}</div>"


def _row(cell: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts) + "</tr>"


def _picture(picture: Image.Image) -> str:
    small = picture.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=90, subsampling=0)
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img style="max-width:100%" src="data:image/jpeg;base64,{text}">'
