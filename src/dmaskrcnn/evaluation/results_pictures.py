"""Which picture of a data set an entry of a results file is about."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dmaskrcnn.data.values import identifier, shown, too_large
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_files import ResultsContent


class UnknownPictureError(UserError):
    """Detections of a picture that the data set lacks."""


class Pictures:
    """The images of a data set by id and by file name, for the entries of one file.

    A name means the image whose path ends most as it does. All names of the file count: beside
    ``cam1/0.png``, ``cam2/0.png`` is no other name of the image ``cam1/0.png``, even if that is the
    only ``0.png`` of the data set.

    Args:
        image_ids: of the data set.
        paths: their files; may be empty, then names say nothing.
        content: the file.
    """

    def __init__(
        self, image_ids: Sequence[int | str], paths: Sequence[Path], content: ResultsContent
    ) -> None:
        self.ids = dict.fromkeys(image_ids)
        self._image_ids, self._paths, self._files = image_ids, paths, content.files
        self._own = bool(content.files and paths)
        self._said: dict[int | str, int | str] = {}  # per image the id that the file has for it
        self._parts: dict[str, tuple[str, ...]] = {}  # per name of the file
        self._fits: dict[str, list[int]] = {}  # the images whose paths end most as the name
        self._names: dict[int, list[str]] = {}  # the names that an image's path ends most as
        self._means: dict[str, list[int]] = {}  # the images that may be meant
        if paths:
            entries = (entry for entry in content.entries if isinstance(entry, dict))
            names = (*content.files.values(), *(entry.get("file_name") for entry in entries))
            self._look_at(list(dict.fromkeys(name for name in names if isinstance(name, str))))

    def of_entry(self, where: str, entry: dict[str, Any]) -> int | str:
        """The image that an entry is about. Raises UnknownPictureError where there is none such,
        UserError where nobody knows which, or its id and its name are of two."""
        name = entry.get("file_name")
        if "image_id" not in entry:
            if not isinstance(name, str):
                raise UserError(f"{where}: file_name is {shown(name)}, not text; correct it")
            return self._by_name(where, name)
        image_id = identifier(entry["image_id"])
        if image_id is not None:
            if self._own and image_id in self._files:
                found = self._by_name(where, self._files[image_id], image_id)
                return self._agreed(where, image_id, found, name)
            if not self._own and image_id in self.ids:
                return self._agreed(where, image_id, image_id, name)
        if self._paths and isinstance(name, str):  # ids that only its writer knows
            return self._by_name(where, name, image_id)
        if image_id is None:
            why = too_large(entry["image_id"]) or "it must be an integer or text"
            raise UserError(f"{where}: image_id is {shown(entry['image_id'])}; {why}")
        if self._own:
            raise UserError(f"{where}: image_id {image_id!r} is not in the file's own images")
        example = f" (such as {next(iter(self.ids))!r})" if self.ids else ""
        raise UnknownPictureError(
            f"{where}: image_id {image_id!r} is not in the data set; use its image ids{example}"
        )

    def _look_at(self, names: Sequence[str]) -> None:
        """Find the images that each name of the file may mean."""
        alike: dict[str, list[int]] = defaultdict(list)
        for image, path in enumerate(self._paths):
            alike[path.name].append(image)
        paths: dict[int, tuple[str, ...]] = {}
        most: dict[int, int] = {}
        for name in names:
            parts = self._parts[name] = _parts(name)
            images = alike.get(parts[-1], []) if parts else []
            for image in images:
                if image not in paths:
                    paths[image] = _parts(os.path.abspath(self._paths[image]))
            common = [_common(parts, paths[image]) for image in images]
            best = max(common, default=0)
            self._fits[name] = [i for i, n in zip(images, common, strict=True) if n == best]
            for image in self._fits[name]:
                if best > most.get(image, 0):
                    most[image], self._names[image] = best, []
                if best == most[image]:
                    self._names[image].append(name)
        for name, images in self._fits.items():
            self._means[name] = [
                image
                for image in images
                if any(self._same(name, other) for other in self._names[image])
            ]

    def _same(self, name: str, other: str) -> bool:
        """Whether two names may be one: a whole path and its end."""
        one, two = self._parts[name], self._parts[other]
        return _common(one, two) == min(len(one), len(two))

    def _by_name(self, where: str, name: str, image_id: int | str | None = None) -> int | str:
        """The image of a name, beside which the file has this id of its own."""
        found, picture = self._means.get(name, []), f"{where}: the picture {shown(name)}"
        if not found:
            nearest = [other for image in self._fits.get(name, []) for other in self._names[image]]
            there = f", only {shown(nearest[0])}" if nearest else ""
            remedy = "use its pictures or ids"
            raise UnknownPictureError(f"{picture} is not in the data set{there}; {remedy}")
        if len(found) > 1:
            raise UserError(f"{picture} may be several pictures of it; use its pictures or ids")
        image, path = self._image_ids[found[0]], self._paths[found[0]]
        for other in self._names[found[0]]:
            if not self._same(name, other):
                raise UserError(
                    f"{picture} may be {path}, but so may {shown(other)}; name the folder of each "
                    "as it is there, and leave out what is not"
                )
        before = image_id if image_id is None else self._said.setdefault(image, image_id)
        if before != image_id:
            raise UserError(
                f"{picture} has the image_id {image_id!r} here and {before!r} before; name the "
                "folders, too, if they are two pictures, or give one id"
            )
        return image

    def _agreed(self, where: str, image_id: int | str, image: int | str, name: Any) -> int | str:
        """The image of an id. Raises UserError where the name beside it is that of another."""
        means = self._means.get(name, []) if isinstance(name, str) else []
        if means and all(self._image_ids[other] != image for other in means):
            path = self._paths[list(self._image_ids).index(image)]
            raise UserError(
                f"{where}: image_id {image_id!r} is {path}, but file_name {shown(name)} is "
                f"{self._paths[means[0]]}; leave out whichever is wrong, in all entries"
            )
        return image


def _parts(name: str) -> tuple[str, ...]:
    """Of a path, but for what says from where it goes."""
    parts = PurePosixPath(os.path.normpath(name.replace("\\", "/"))).parts
    return tuple(part for part in parts if part not in ("/", "//", ".."))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths have in common at their ends."""
    count = 0
    for here, there in zip(reversed(one), reversed(other), strict=False):
        if here != there:
            break
        count += 1
    return count
