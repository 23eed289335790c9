"""Pictures of more than 8 bits: 12- and 16-bit cameras, thermal counts, floats.

No file says which of its values are black and white: 12-bit data lies in the lowest sixteenth of 16
bits, thermal counts spread over some hundred of 65,536. So each picture is read by its own range,
the same in training and prediction; otherwise it would be flat.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

# per cent of the values that saturate at either end: dead and hot pixels of a sensor, but not a
# distant object (a person of 8 x 16 px in 640 x 512 is 0.04 %, and stays the brightest thing)
_TAIL = 0.1
_SAMPLE = 1 << 20  # values that the range is taken from, evenly spaced: as good, and 20 ms less


def deep_kind(picture: Image.Image) -> str | None:
    """``"16-bit"``, ``"32-bit"`` or ``"float"`` for a picture of more than 8 bits, opened but not
    loaded yet; None for all others."""
    if picture.mode == "F":
        return "float"
    if picture.mode == "I" and picture.format != "PPM":
        return "32-bit"
    # colour: Pillow opens it as 8 bits and tells only in how it would unpack the file
    tile = picture.tile if isinstance(picture, ImageFile.ImageFile) else None
    unpacked = tile[0][3] if tile else ""
    deep = picture.mode.startswith("I;16") or ";16" in str(unpacked)
    if picture.format == "PPM" and isinstance(unpacked, tuple):  # (mode, largest value)
        deep = unpacked[1] > 255
    return "16-bit" if deep else None


def read_deep(picture: Image.Image, source: Path | IO[bytes]) -> Image.Image:
    """A loaded picture of more than 8 bits as RGB, its own range spread over 0–255.

    Of colour pictures Pillow gives the upper 8 bits; the lower ones are fetched, for PNG and TIFF,
    from ``source``, of which the picture was opened.
    """
    if picture.mode not in ("RGB", "RGBA"):
        return Image.fromarray(spread_range(np.asarray(picture))).convert("RGB")
    values = np.asarray(picture.convert("RGB")).astype(np.uint16) << 8
    return Image.fromarray(spread_range(values | _lower_bytes(source)))


def _lower_bytes(source: Path | IO[bytes]) -> NDArray[np.uint8] | int:
    """The lower bytes of a 16-bit colour picture, ``(H, W, 3)``; 0 where Pillow has no way.

    Pillow unpacks such pixels by dropping the lower byte; told that their bytes lie the other way
    round, it drops the upper one.
    """
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    with Image.open(source) as picture:
        if not isinstance(picture, ImageFile.ImageFile):
            return 0
        tiles = []
        for *place, unpacked in picture.tile:
            many = isinstance(unpacked, tuple)
            name = str(unpacked[0] if many else unpacked)
            colours, _, order = name.rpartition(";16")
            if colours not in ("RGB", "RGBA", "RGBX"):
                return 0
            name = f"{colours};16{other[order]}"
            tiles.append((*place, (name, *unpacked[1:]) if many else name))
        picture.tile = tiles
        return np.asarray(picture.convert("RGB"))


def spread_range(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Spread the range between the 0.1th and the 99.9th percentile over 0–255, of all channels
    together so that colours stay; the same shape.

    Values that are not finite become black. A picture of one value is read against 65,535.
    """
    values = values.astype(np.float32)
    finite = np.isfinite(values)
    known = values[finite]
    if not len(known):
        raise ValueError("no pixel has a finite value")
    low, high = np.percentile(known[:: max(1, len(known) // _SAMPLE)], (_TAIL, 100 - _TAIL))
    if high <= low:  # hardly anything but background
        low, high = known.min(), known.max()
    if high <= low:
        low, high = 0.0, 65535.0
    values[~finite] = low
    # in double precision: the difference of two floats may overflow single
    scaled = (values.astype(np.float64) - float(low)) / (float(high) - float(low))
    return (scaled.clip(0, 1) * 255).round().astype(np.uint8)
