"""Pictures from disk: listing, header sizes, and one decode to a tensor with EXIF rotation
honoured."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import check_regular

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
_ORIENTATION_TAG = 0x0112  # EXIF 2.3, §4.6.4
_SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations that swap width and height


def is_image(path: Path) -> bool:
    """Whether the name ends like a picture's; hidden files (``._x.jpg`` of macOS) are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path, recursive: bool = True) -> list[Path]:
    """The pictures of a folder, ordered by relative path whatever the file system; links are
    followed, loops are not."""
    found: list[Path] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        found += [path for name in files if is_image(path := Path(root, name))]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def set_max_pixels(megapixels: float) -> None:
    """Set the largest picture that is decoded, in this process and in those that load images for
    it: memory grows with it (dehazing takes 50 bytes for a pixel, each object found one).

    It is Pillow's own limit (``PIL.Image.MAX_IMAGE_PIXELS``, 89 megapixels), which Pillow only
    warns of. Raises UserError for a number that is not above 0.
    """
    if not megapixels > 0:
        raise UserError(f"--max-pixels must be above 0, got {megapixels:g}")
    Image.MAX_IMAGE_PIXELS = int(min(megapixels, 1e12) * 1e6)


def _open(path: Path) -> Image.Image:
    """A picture whose header has been read, and that is not too large to decode."""
    check_regular(path)
    try:
        picture = Image.open(path)
        pixels = picture.width * picture.height
        if pixels <= (Image.MAX_IMAGE_PIXELS or pixels):
            return picture
        picture.close()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = int(re.findall(r"\d+", str(error))[0])
    most = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
    raise UserError(
        f"{path}: has {pixels / 1e6:.0f} megapixels, more than {most:g}; reduce it, or raise "
        "--max-pixels"
    )


def image_size(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size of a picture from its header, without decoding it.

    Returns:
        ``(height, width)`` as displayed (EXIF rotation applied), and ``(height, width)`` as stored.

    Raises:
        UserError: the file is missing or no picture.
    """
    try:
        with _open(path) as picture:
            stored = (picture.height, picture.width)
            sideways = picture.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS
    except UserError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on broken files
        raise unreadable(path, error) from error
    return (stored[::-1] if sideways else stored), stored


def decode_image(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """Decode a picture.

    EXIF rotation is applied, as viewers and annotation tools do. Annotations of a data set made by
    a tool that ignored EXIF are recognised by the size they state: where that is the stored size
    and not the displayed one, the picture is left as stored, so that its boxes fit (pycocotools and
    torchvision's ``CocoDetection`` would show it so, too).

    Args:
        path: the file.
        size: ``(height, width)`` stated by the annotations, if any.

    Returns:
        uint8 ``(3, H, W)``, RGB; a channels-last view, which torchvision resizes fastest.

    Raises:
        UserError: the file is missing, truncated, no picture, or of another size than stated.
    """
    try:
        with _open(path) as picture:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if size is not None and (upright.height, upright.width) != size == (
                picture.height,
                picture.width,
            ):
                upright = picture
            pixels = np.array(_to_rgb(upright))
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise unreadable(path, error) from error
    if size is not None and pixels.shape[:2] != size:
        height, width = pixels.shape[:2]
        stated = f"{size[1]}x{size[0]}"
        raise UserError(
            f"{path}: the picture is {width}x{height} but its annotations say "
            f"{stated}; correct them"
        )
    return torch.from_numpy(pixels).permute(2, 0, 1)


def unreadable(path: Path, error: Exception) -> UserError:
    """The one-line error for a picture that cannot be read."""
    if not os.path.exists(path) and not os.path.islink(path):
        return UserError(f"{path}: no such picture; check the path")
    if isinstance(error, OSError) and error.strerror:
        error = OSError(error.strerror)
    reason = " ".join(str(error).split()).replace(f" {str(path)!r}", "") or type(error).__name__
    return UserError(f"{path}: cannot read the picture ({reason}); replace or remove it")


def _to_rgb(picture: Image.Image) -> Image.Image:
    # 16-bit grey: Pillow's convert would clip, not scale
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return Image.fromarray(
            (np.asarray(picture).clip(0, 65535) / 257).round().astype(np.uint8)
        ).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
