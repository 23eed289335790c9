"""What `inspect` notices in pictures and annotations that no reader would: by decoding them, and by
comparing them with each other."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dmaskrcnn.data.image import Header, decode_pixels, list_images, read_header
from dmaskrcnn.data.objects import ObjectTable
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.data.problems import Problem
from dmaskrcnn.data.similar import similar_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import MOST_DATA, read_bytes

# grey levels; 12-bit data that another tool cut down to 8 bits has 16, dense fog still 60
FLAT = 16


@dataclass
class Look:
    """What one picture showed.

    Attributes:
        path: the file.
        problems: what is wrong with it.
        digest: of its content; None where the file cannot be read.
        header: None where it is no picture.
        size: ``(height, width)`` as read; None where it cannot be decoded.
        as_stored: whether its EXIF rotation was left off, because its boxes say so.
        levels: grey levels between its darkest and its brightest value.
    """

    path: Path
    problems: list[Problem] = field(default_factory=list)
    digest: bytes | None = None
    header: Header | None = None
    size: tuple[int, int] | None = None
    as_stored: bool = False
    levels: int = 255


def look_at(part: Part, index: int, orientation: Orientation) -> Look:
    """Decode one picture and its masks."""
    path, stated = part.images[index], part.sizes[index] if part.sizes else None
    look = Look(path)
    try:
        look.digest = hashlib.blake2b(read_bytes(path, MOST_DATA), digest_size=16).digest()
        look.header = header = read_header(path)
        stored = part.objects is not None and orientation == "stored"
        pixels = decode_pixels(path, stated, stored)
        look.size = size = (pixels.shape[0], pixels.shape[1])
        look.as_stored = stored or size == header.stored != header.displayed
        look.levels = int(pixels.max()) - int(pixels.min())
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        look.problems.append(Problem("unreadable", path, "", reason))
    except OSError as error:
        reason = f"cannot read the file ({error.strerror})"
        look.problems.append(Problem("unreadable", path, "", reason))
    if part.objects is not None and stated is not None:
        try:
            part.objects.annotations(index, *stated)
        except ValueError as error:
            reason = f"a mask cannot be decoded ({error})"
            look.problems.append(Problem("mask", part.path, f"image {path.name}", reason))
    return look


def turned_pictures(part: Part, looks: list[Look]) -> list[Problem]:
    """How many pictures EXIF turns, and in which frame their boxes are read."""
    turned = [look for look in looks if look.header and look.header.turned]
    if not turned:
        return []
    text = f"EXIF turns or mirrors {len(turned)} pictures, such as {turned[0].path.name}: "
    if part.objects is None:
        return [Problem("rotation", part.path, "", f"{text}shown upright")]
    stored = sum(look.as_stored for look in turned)
    text += (
        f"the boxes of {len(turned) - stored} are read in the picture turned upright, those of "
        f"{stored} in the picture as stored; if the tool drew them elsewhere: --orientation "
        "upright (Label Studio) or --orientation stored"
    )
    return [Problem("rotation", part.path, "", text)]


def deep_or_flat(part: Part, looks: list[Look]) -> list[Problem]:
    """Pictures of more than 8 bits, and pictures that show next to nothing."""
    notes = []
    kinds: dict[str, list[Path]] = defaultdict(list)
    for look in looks:
        if look.header and look.header.deep:
            kinds[look.header.deep].append(look.path)
        elif look.levels < FLAT:
            text = f"nearly flat: all its values lie within {look.levels + 1} of 256"
            notes.append(Problem("low contrast", look.path, "", text))
    for kind, images in kinds.items():
        text = f"{len(images)} pictures are {kind}, such as {images[0].name}"
        text += ": each is read by its own range (0.1 to 99.9 %), in training and prediction alike"
        notes.append(Problem("dynamic range", part.path, "", text))
    return notes


def duplicate_images(groups: Iterable[list[Path]]) -> list[Problem]:
    """Pictures with the content of another; ``groups``: those of one content each."""
    return [
        Problem("duplicate image", path, "", f"has the same content as {group[0]}")
        for group in groups
        for path in group[1:]
    ]


def near_duplicates(part: Part, copies: Iterable[list[Path]]) -> list[Problem]:
    """How many pictures look nearly the same as another; ``copies``: those of one content each,
    which are told of elsewhere."""
    known = {path for group in copies for path in group[1:]}
    images = [path for path in part.images if path not in known]
    first = similar_images(images)
    followers = [i for i, one in enumerate(first.tolist()) if one != i]
    if not followers:
        return []
    some = followers[0]
    text = (
        f"{len(followers)} of {len(images)} pictures look nearly the same as one before (such as "
        f"{images[some].name} and {images[first[some]].name}): frames of one scene are not "
        "independent; --groups of the verbs that score says what belongs together"
    )
    return [Problem("near-duplicates", part.path, "", text)]


def duplicate_objects(part: Part, objects: ObjectTable) -> list[Problem]:
    """Boxes of one class that are the same to the last bit."""
    notes = []
    for i, path in enumerate(part.images):
        rows = range(int(objects.first[i]), int(objects.first[i + 1]))
        seen = Counter((int(objects.labels[row]), *objects.boxes[row].tolist()) for row in rows)
        for (label, *box), times in seen.items():
            if times > 1:
                shown = ", ".join(f"{v:g}" for v in box)
                text = f"the same {part.classes[int(label)]} box [{shown}] {times} times"
                notes.append(Problem("duplicate object", path, "", text))
    return notes


def unlisted(part: Part) -> list[Problem]:
    """Pictures beside those of a COCO JSON that it does not list; one note per folder, as other
    splits often live there."""
    if part.format != "COCO JSON":
        return []
    listed = {path.resolve() for path in part.images}
    notes = []
    for folder in sorted({path.parent for path in part.images}):
        count = sum(path.resolve() not in listed for path in list_images(folder, recursive=False))
        if count:
            notes.append(
                Problem(
                    "not annotated",
                    folder,
                    "",
                    f"{count} pictures here are not listed (another split's?)",
                )
            )
    return notes
