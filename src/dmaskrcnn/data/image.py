"""Pictures from disk or from bytes: listing, header sizes, and one decode to a tensor with EXIF
rotation honoured."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from dmaskrcnn.arrays import as_image
from dmaskrcnn.data.dynamic_range import deep_kind, read_deep
from dmaskrcnn.data.sizes import target_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import check_regular

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg"}
    | {".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
_ORIENTATION_TAG = 0x0112  # EXIF 2.3, §4.6.4
_SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations that swap width and height


def is_image(path: Path) -> bool:
    """Whether the name ends like a picture's; hidden files (``._x.jpg`` of macOS) are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path, recursive: bool = True) -> list[Path]:
    """The pictures of a folder, ordered by relative path whatever the file system; links are
    followed, loops are not. Errors as of `unlisted`."""
    found, seen = list[Path](), set[str]()
    for root, folders, files in os.walk(folder, onerror=unlisted, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        found += [path for name in files if is_image(path := Path(root, name))]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def unlisted(error: OSError) -> None:
    """For ``os.walk``: raises UserError of a folder that is there and cannot be listed."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        said = f"{error.filename}: cannot be listed ({error.strerror})"
        raise UserError(f"{said}; make it readable, or name the folders beside it") from error


def set_max_pixels(megapixels: float) -> None:
    """Set the largest picture that is decoded, in this process and in those that load images for
    it: memory grows with it (dehazing takes 50 bytes for a pixel, and more). It is Pillow's own
    limit (``PIL.Image.MAX_IMAGE_PIXELS``, 89 megapixels), which Pillow only warns of. Raises
    UserError for a number that is not above 0.
    """
    if not megapixels > 0:
        raise UserError(f"--max-pixels must be above 0, got {megapixels:g}")
    Image.MAX_IMAGE_PIXELS = int(min(megapixels, 1e12) * 1e6)


def open_picture(source: Path | bytes) -> Image.Image:
    """A picture whose header has been read, and that is not too large to decode.

    Args:
        source: the file, or what one holds.

    Raises:
        UserError: the picture has more pixels than allowed.
        OSError, ValueError and others of Pillow's: it is no picture, or no regular file.
    """
    if not isinstance(source, bytes):
        check_regular(source)
    try:
        picture = Image.open(_as_file(source))
        pixels = picture.width * picture.height
        if pixels <= (Image.MAX_IMAGE_PIXELS or pixels):
            return picture
        picture.close()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = int(re.findall(r"\d+", str(error))[0])
    most = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
    raise UserError(
        f"{_name(source)}: has {pixels / 1e6:.0f} megapixels, more than {most:g}; reduce it, or "
        "raise --max-pixels"
    )


@dataclass(frozen=True)
class Header:
    """What a picture says about itself before it is decoded.

    Attributes:
        displayed: ``(height, width)``, EXIF rotation applied.
        stored: ``(height, width)``.
        turned: whether EXIF asks for a rotation or a mirror (orientation 2–8).
        deep: ``"16-bit"``, ``"32-bit"`` or ``"float"``; None: 8 bits.
    """

    displayed: tuple[int, int]
    stored: tuple[int, int]
    turned: bool
    deep: str | None


def read_header(path: Path) -> Header:
    """The header of a picture. Raises UserError where the file is missing or no picture."""
    try:
        with open_picture(path) as picture:
            stored = (picture.height, picture.width)
            orientation = picture.getexif().get(_ORIENTATION_TAG)
            deep = deep_kind(picture)
    except UserError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on broken files
        raise unreadable(path, error) from error
    displayed = (stored[1], stored[0]) if orientation in _SIDEWAYS else stored
    return Header(displayed, stored, orientation in range(2, 9), deep)


def image_size(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """``(height, width)`` of a picture from its header as displayed (EXIF rotation applied), and as
    stored. Errors as of `read_header`."""
    header = read_header(path)
    return header.displayed, header.stored


def decode_image(
    source: Path | bytes, size: tuple[int, int] | None = None, stored: bool = False
) -> Tensor:
    """`decode_pixels` as `as_image` gives it: with PyTorch a uint8 tensor ``(3, H, W)``, RGB."""
    return as_image(decode_pixels(source, size, stored))


def decode_pixels(
    source: Path | bytes, size: tuple[int, int] | None = None, stored: bool = False
) -> NDArray[np.uint8]:
    """Decode a picture.

    EXIF rotation is applied, as viewers and annotation tools do. Annotations of a data set made by
    a tool that ignored EXIF are recognised by the size they state: where that is the stored size
    and not the displayed one, the picture is left as stored, so that its boxes fit (pycocotools and
    torchvision's ``CocoDetection`` would show it so, too).

    Pictures of more than 8 bits are read by their own range (see `dynamic_range`).

    Args:
        source: the file, or what one holds.
        size: ``(height, width)`` stated by the annotations, if any.
        stored: leave it as stored whatever EXIF says.

    Returns:
        uint8 ``(H, W, 3)``, RGB.

    Raises:
        UserError: the file is missing, truncated, no picture, or of another size than stated.
    """
    return decode_reduced(source, None, size, stored)[0]


def decode_reduced(
    source: Path | bytes,
    least: tuple[float, float] | None,
    size: tuple[int, int] | None = None,
    stored: bool = False,
) -> tuple[NDArray[np.uint8], int]:
    """`decode_pixels` for somebody who will reduce the picture anyway: a JPEG is decoded at a half,
    a quarter or an eighth of its size, in a fraction of the time and of the memory.

    Args:
        source, size, stored: as for `decode_pixels`, which has the errors, too.
        least: the sides that are needed, as `target_size` takes them; None: the whole picture.

    Returns:
        The pixels; and how many of the file's lie along a side of each, in both directions.
    """
    try:
        with open_picture(source) as picture:
            factor = _reduce(picture, least, size)
            reduced = size and (size[0] // factor, size[1] // factor)
            pixels = upright_pixels(picture, _as_file(source), reduced, stored)
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise unreadable(source, error) from error
    if size is not None and pixels.shape[:2] != reduced:
        raise _other_size(source, pixels.shape[:2], size)
    return pixels, factor


def _reduce(
    picture: Image.Image, least: tuple[float, float] | None, size: tuple[int, int] | None
) -> int:
    """Have an open picture decoded at a part of its size: a divisor of both sides, so that boxes
    stay where they are, and only where the file has the size that is stated."""
    width, height = picture.size
    if least is None or not isinstance(picture, JpegImageFile):
        return 1
    if size not in (None, (height, width), (width, height)):
        return 1
    rows, columns = target_size(height, width, *least)
    for factor in (8, 4, 2):
        divides = height % factor == width % factor == 0
        if divides and height >= factor * rows and width >= factor * columns:
            picture.draft(None, (width // factor, height // factor))
            break
    return width // picture.width


def upright_pixels(
    picture: Image.Image,
    file: Path | io.BytesIO,
    size: tuple[int, int] | None = None,
    stored: bool = False,
) -> NDArray[np.uint8]:
    """`decode_pixels` for a picture that is open, and whose size was looked at.

    Args:
        picture: not loaded yet.
        file: what it was opened from, once more.
        size, stored: see `decode_pixels`.

    Raises:
        OSError, ValueError and others of Pillow's: it is broken.
    """
    deep = deep_kind(picture) is not None
    picture.load()
    whole = picture
    if deep:
        whole = read_deep(picture, file)
        whole.getexif()[_ORIENTATION_TAG] = picture.getexif().get(_ORIENTATION_TAG, 1)
    upright = whole if stored else ImageOps.exif_transpose(whole)
    if size is not None and (upright.height, upright.width) != size == (whole.height, whole.width):
        upright = whole
    return np.array(to_rgb(upright))


def check_header(path: Path, size: tuple[int, int] | None = None) -> None:
    """Look at a picture without decoding it. Raises UserError as `decode_image`, but for what only
    decoding shows."""
    try:
        with open_picture(path) as picture:
            stored = (picture.height, picture.width)
    except UserError:
        raise
    except Exception as error:  # as in `image_size`, which decodes a PNG to look for its rotation
        raise unreadable(path, error) from error
    if size is not None and size != stored and size not in image_size(path):
        raise _other_size(path, stored, size)


def _other_size(source: Path | bytes, size: Sequence[int], stated: tuple[int, int]) -> UserError:
    return UserError(
        f"{_name(source)}: the picture is {size[1]}x{size[0]} but its annotations say "
        f"{stated[1]}x{stated[0]}; correct them"
    )


def _as_file(source: Path | bytes) -> Path | io.BytesIO:
    """As Pillow's ``Image.open`` takes it."""
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _name(source: Path | bytes) -> str:
    return f"image of {len(source):,} bytes" if isinstance(source, bytes) else str(source)


def unreadable(source: Path | bytes, error: Exception) -> UserError:
    """The one-line error for a picture that cannot be read."""
    name = _name(source)
    if not isinstance(source, bytes) and not os.path.exists(source) and not os.path.islink(source):
        return UserError(f"{name}: no such picture; check the path")
    if isinstance(error, OSError) and error.strerror:
        error = OSError(error.strerror)
    said = re.sub(" <_io.BytesIO[^>]*>", "", " ".join(str(error).split()))
    reason = said.replace(f" {name!r}", "") or type(error).__name__
    return UserError(f"{name}: cannot read the picture ({reason}); replace or remove it")


def to_rgb(picture: Image.Image) -> Image.Image:
    """An 8-bit picture of any mode as RGB; transparency is left out."""
    if picture.mode in ("RGBa", "La"):  # premultiplied: Pillow has no way straight to RGB
        picture = picture.convert("RGBA" if picture.mode == "RGBa" else "LA")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
