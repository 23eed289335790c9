"""Pictures in an output folder: which images there are, and under which names their pictures are
written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dmaskrcnn.data.image import IMAGE_SUFFIXES, list_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write

JPEG_QUALITY = 95
# Formats that hold 8-bit RGB keep theirs; the rest (.pgm is grey by definition) becomes PNG.
KEPT_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


@dataclass
class Job:
    """One image: its file, and the picture to write."""

    source: Path
    picture: Path


def find_images(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """The image files, each with the path that its picture should keep; every file once.

    Args:
        inputs: files, taken whatever their suffix, and folders.
        out: left out of the search where it lies inside an input folder.

    Raises:
        UserError: for a missing input, a folder without images, and a folder that is itself
        ``out``.
    """
    if not inputs:
        raise UserError("inputs: no images given; name image files or folders")
    found: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise UserError(
                    f"{out}: is the output folder and an input folder; choose another --out"
                )
            # an earlier run's pictures are no input
            within = path.resolve() in out.resolve().parents
            files = [
                file
                for file in list_images(path)
                if not (within and out.resolve() in file.resolve().parents)
            ]
            if not files:
                raise UserError(
                    f"{path}: no images in this folder (looked for "
                    f"{', '.join(sorted(IMAGE_SUFFIXES))})"
                )
        elif path.exists():
            files = [path]
        else:
            raise UserError(f"{path}: no such file or folder; check the path")
        for file in files:
            found.setdefault(
                file.resolve(), (file, file.relative_to(path if path.is_dir() else path.parent))
            )
    return list(found.values())


def plan(
    files: Sequence[tuple[Path, Path]],
    out: Path,
    suffix: Callable[[Path], str] = lambda _: ".jpg",
    *,
    ours: Callable[[Path], bool],
) -> list[Job]:
    """A picture for each image, such that no two share a name and nothing but an earlier picture of
    ours is overwritten.

    Args:
        files: each image, and the path its picture should keep.
        out: the folder of the pictures.
        suffix: of the picture of an image.
        ours: whether an existing file is a picture of ours, which may be overwritten.
    """
    inputs = {file.resolve() for file, _ in files}
    taken: set[str] = set()
    jobs = []
    for file, name in files:
        number, picture = 1, out / name.with_suffix(suffix(name))
        while (
            # some file systems take a.jpg and A.jpg for the same file
            str(picture).casefold() in taken
            or picture.resolve() in inputs
            or (picture.exists() and not ours(picture))
        ):
            number += 1
            picture = out / name.with_name(f"{name.stem}-{number}{picture.suffix}")
        taken.add(str(picture).casefold())
        jobs.append(Job(file, picture))
    return jobs


def kept_suffix(name: Path) -> str:
    """The suffix of the picture that ``save_picture`` writes for an image of this name."""
    return name.suffix if name.suffix.lower() in KEPT_SUFFIXES else ".png"


def save_picture(picture: Image.Image, path: Path, source: Path) -> None:
    """Write a picture in the format its name says, with EXIF data and colour profile of the image
    it was made from.

    The picture is upright: of the EXIF data, the rotation is left out. Raises UserError if it
    cannot be written.
    """
    options: dict[str, Any] = _metadata(source)
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    elif suffix == ".webp":
        options |= {"quality": JPEG_QUALITY}
    elif suffix in (".bmp", ".ppm"):
        options = {}
    atomic_write(path, lambda temporary: picture.save(temporary, **options))


def _metadata(source: Path) -> dict[str, Any]:
    """EXIF data without the rotation, which is in the pixels now, and the colour profile if it is
    one of RGB."""
    options: dict[str, Any] = {}
    try:
        with Image.open(source) as picture:
            exif = picture.getexif()
            exif.pop(0x0112, None)
            if len(exif):
                options["exif"] = exif.tobytes()
            if picture.mode in ("RGB", "RGBA", "P") and picture.info.get("icc_profile"):
                options["icc_profile"] = picture.info["icc_profile"]
    except Exception:  # broken metadata of a readable picture: the picture is what counts
        return {}
    return options
