"""Which images there are in files and folders, and how pictures made from them are saved."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from dmaskrcnn.data.globs import is_pattern, match
from dmaskrcnn.data.image import IMAGE_SUFFIXES, list_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import save_picture_whole
from dmaskrcnn.images.jobs import Job
from dmaskrcnn.output_folder import OutputFolder, numbered

JPEG_QUALITY = 95
# Formats that hold 8-bit RGB keep theirs; the rest (.pgm is grey by definition) becomes PNG.
KEPT_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
# EXIF and TIFF share their tags, and a TIFF's also say how its own pixels lie in the file: of the
# tags only these, which are about the scene, camera and people, hold for a picture made from it.
# The last six are GeoTIFF's (OGC 19-008r4, annex G), which Pillow has no names for.
DESCRIPTIVE = frozenset(
    {Base.DocumentName, Base.ImageDescription, Base.PageName, Base.PageNumber, Base.DateTime}
    | {Base.Make, Base.Model, Base.Software, Base.ProcessingSoftware, Base.HostComputer}
    | {Base.Artist, Base.Copyright, Base.Rating, Base.RatingPercent, Base.ImageID}
    | {Base.XResolution, Base.YResolution, Base.ResolutionUnit, Base.XMLPacket, Base.IPTCNAA}
    | {Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject}
    | {IFD.Exif, IFD.GPSInfo}
    | {33550, 33922, 34264, 34735, 34736, 34737}
)


@dataclass(frozen=True)
class PictureJob(Job):
    """An image, and the picture to write."""

    picture: Path


def plan(
    inputs: Sequence[Path | str], output: OutputFolder, suffix: Callable[[Path], str]
) -> list[PictureJob]:
    """Claims a picture for each image.

    Args:
        inputs: image files, patterns of them, and folders, which are searched with all their
            subfolders.
        output: where the pictures will be; no input in itself.
        suffix: of the picture of an image of this name.

    Raises:
        UserError: as `find_images`.
    """
    files = find_images([Path(path) for path in inputs], output.path)
    names = [name.with_suffix(suffix(name)) for _, name in files]
    pictures = output.claim(names, [file for file, _ in files])
    return [PictureJob(*file, picture) for file, picture in zip(files, pictures, strict=True)]


def find_images(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """The image files, each with the path that its picture should keep; every file once.

    Args:
        inputs: files, taken whatever their suffix, folders, and patterns (``cams/*/2026*.jpg``) of
            pictures and folders, whose pictures keep the path below the part that is no pattern.
        out: left out of the search where it lies inside an input folder.

    Raises:
        UserError: for a missing input, a pattern that matches nothing, a folder without images, and
        a folder that is itself ``out``.
    """
    if not inputs:
        raise UserError("inputs: no images given; name image files or folders")
    found: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        root, files = _files(path, out)
        for file in files:
            found.setdefault(_real(file), (file, file.relative_to(root)))
    return list(found.values())


def names_by_stem(files: Sequence[Path], reserved: Collection[str] = ()) -> list[Path]:
    """A path for each file, relative to the folder that all share, such that no two differ in
    suffix or case alone, and none but for its suffix has a ``reserved`` name (in small letters);
    ``files`` are absolute."""
    common = Path(os.path.commonpath([file.parent for file in files]))
    taken: set[str] = set()
    names = []
    for file in files:
        candidates = numbered(file.relative_to(common))
        name = next(
            one
            for one in candidates
            if _stem(one) not in taken and one.stem.casefold() not in reserved
        )
        taken.add(_stem(name))
        names.append(name)
    return names


def _stem(name: Path) -> str:
    return name.with_suffix("").as_posix().casefold()


def _files(path: Path, out: Path) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files of an input."""
    if is_pattern(path):
        root, files = match(path)
    elif path.is_dir():
        if path.resolve() == out.resolve():
            raise UserError(
                f"{out}: is the output folder and an input folder; choose another --out"
            )
        root, files = path, list_images(path)
    elif path.exists():
        return path.parent, [path]
    else:
        raise UserError(f"{path}: no such file or folder; check the path")
    if root.resolve() in out.resolve().parents:  # an earlier run's pictures are no input
        files = [file for file in files if out.resolve() not in _real(file).parents]
    if not files:
        raise UserError(
            f"{path}: no images in this folder (looked for {', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return root, files


def _real(file: Path) -> Path:
    """Like ``resolve``, which raises for a link to itself."""
    return Path(os.path.realpath(file))


def kept_suffix(name: Path) -> str:
    """The suffix of the picture that ``save_picture`` writes for an image of this name."""
    return name.suffix if name.suffix.lower() in KEPT_SUFFIXES else ".png"


def save_picture(picture: Image.Image, source: Path | bytes, path: Path) -> None:
    """Save a picture in the format its name says, with EXIF data and colour profile of the image
    it was made from, a file or what one holds.

    The picture is upright: of the EXIF data, the rotation is left out.
    """
    options: dict[str, Any] = _metadata(source)
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    elif suffix == ".webp":
        options |= {"quality": JPEG_QUALITY}
    elif suffix in (".bmp", ".ppm"):
        options = {}
    save_picture_whole(picture, path, **options)


def _metadata(source: Path | bytes) -> dict[str, Any]:
    """What EXIF describes, not the rotation, which is in the pixels now, and the colour profile if
    it is one of RGB."""
    options: dict[str, Any] = {}
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            exif = picture.getexif()
            for tag in set(exif) - DESCRIPTIVE:
                del exif[tag]
            if len(exif):
                options["exif"] = exif.tobytes()
            if picture.mode in ("RGB", "RGBA", "P") and picture.info.get("icc_profile"):
                options["icc_profile"] = picture.info["icc_profile"]
    except Exception:  # broken metadata of a readable picture: the picture is what counts
        return {}
    return options
