"""One data set from any number of paths of any format."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmaskrcnn.arrays import as_image
from dmaskrcnn.data.classes import choose_classes
from dmaskrcnn.data.formats import find_format
from dmaskrcnn.data.image import decode_image, decode_reduced
from dmaskrcnn.data.objects import ObjectTable
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.data.parsed import Part
from dmaskrcnn.data.problems import Problem, count_kinds, not_read
from dmaskrcnn.data.sample import Annotations, Sample
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)
PathLike = str | os.PathLike[str]


class Dataset:
    """Images with or without labels. Holds paths and compact annotations only; picklable; pictures
    are decoded by :meth:`load`.

    Attributes:
        classes: canonical names; empty if unlabelled.
        category_ids: per class COCO's category id where one COCO JSON (or several that agree) gives
            it, otherwise index + 1.
        own_ids: whether the files give these ids.
        paths: the files.
        image_ids: unique: COCO's id or the file's stem; counted from 1 where the ids of several
            paths collide.
        origins: the paths that were opened, and how many images each gave, in order.
        notes: what is worth knowing of their annotations.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        category_ids: tuple[int, ...],
        paths: list[Path],
        image_ids: list[int | str],
        sizes: np.ndarray | None = None,
        objects: ObjectTable | None = None,
        origins: Sequence[tuple[Path, int]] = (),
        notes: Sequence[Problem] = (),
        stored: bool = False,
        own_ids: bool = True,
    ) -> None:
        """Args as the attributes; ``sizes`` int32 ``(n, 2)`` height, width, and ``objects``: both
        None if unlabelled; ``stored``: leave labelled pictures as stored."""
        self.classes, self.category_ids = classes, category_ids
        self.paths, self.image_ids = paths, image_ids
        self._sizes, self._objects = sizes, objects
        self.origins, self.notes = tuple(origins), tuple(notes)
        self.stored = stored
        self.own_ids = own_ids

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def labelled(self) -> bool:
        """Whether samples carry objects."""
        return self._objects is not None

    def load(self, index: int, least: tuple[float, float] | None = None) -> Sample:
        """Decode one picture (once) with its objects; ``least``: see `decode_reduced`.

        Raises:
            UserError: the picture is unreadable or not of the size stated, or a mask is unreadable.
        """
        path, size = self.paths[index], None if self._sizes is None else self.size(index)
        pixels, reduced = decode_reduced(path, least, size, self.stored)
        objects = None if size is None else self.annotations(index)
        return Sample(as_image(pixels), path, self.image_ids[index], objects, reduced=reduced)

    def picture(self, index: int) -> Tensor:
        """Decode one picture without its objects: uint8 ``(3, H, W)``. Errors as of ``load``."""
        size = None if self._sizes is None else self.size(index)
        return decode_image(self.paths[index], size, self.stored)

    def size(self, index: int) -> tuple[int, int]:
        """``(height, width)`` of a labelled image, without opening it."""
        if self._sizes is None:
            raise UserError(f"{self.paths[index]}: has no annotations; name labelled data")
        height, width = self._sizes[index].tolist()
        return height, width

    def annotations(self, index: int) -> Annotations:
        """The objects of one image at its full size, without opening the picture.

        Raises:
            UserError: the data set is unlabelled, or a mask cannot be decoded.
        """
        if self._objects is None:
            raise UserError(f"{self.paths[index]}: has no annotations; name labelled data")
        try:
            return self._objects.annotations(index, *self.size(index))
        except ValueError as error:
            raise UserError(
                f"{self.paths[index]}: a mask of it cannot be decoded ({error}); correct its "
                "segmentation"
            ) from error

    @property
    def objects(self) -> ObjectTable | None:
        """All annotations in flat arrays: for counting and for evaluation."""
        return self._objects

    def with_pictures(self, paths: Sequence[Path]) -> Dataset:
        """The same images and annotations with other pictures of the same sizes, one per image:
        dehazed ones, say."""
        if len(paths) != len(self):
            raise ValueError(f"{len(paths)} pictures for {len(self)} images")
        changed = copy.copy(self)
        changed.paths, changed.stored = list(paths), False  # written as they were read
        return changed

    def select(self, images: np.ndarray) -> Dataset:
        """These images (bool ``(n,)``) alone, with the ids they have."""
        chosen, result, first = np.flatnonzero(images).tolist(), copy.copy(self), 0
        result.paths = [self.paths[i] for i in chosen]
        result.image_ids = [self.image_ids[i] for i in chosen]
        result._sizes = None if self._sizes is None else self._sizes[images]
        result._objects = None if self._objects is None else self._objects.select(images)
        result.origins = ()
        for path, count in self.origins:
            result.origins += ((path, int(images[first : first + count].sum())),)
            first += count
        return result

    def choose(self, classes: Sequence[str]) -> Dataset:
        """The same images with the objects of these classes alone, as `open_dataset` gives them.

        Raises:
            UserError: there is no such class.
        """
        chosen = choose_classes(self.classes, classes)
        place = {name: label for label, name in enumerate(chosen)}
        new_label = np.array([place.get(name, -1) for name in self.classes], dtype=np.int64)
        ids = dict(zip(self.classes, self.category_ids, strict=True))
        result = copy.copy(self)
        result.classes = chosen
        result.category_ids = tuple(ids[c] if self.own_ids else k for k, c in enumerate(chosen, 1))
        result._objects = None if self._objects is None else self._objects.relabel(new_label)
        return result

    def without_labels(self) -> Dataset:
        """The same images; nothing of their annotations is left in it."""
        return Dataset((), (), self.paths, self.image_ids)


def open_dataset(
    *paths: PathLike,
    classes: Sequence[str] | None = None,
    drop_invalid: bool | None = False,
    orientation: Orientation = "auto",
    folders: Sequence[PathLike] = (),
) -> Dataset:
    """Open one or several paths as one data set; the format is recognised from each path alone.

    COCO JSON, YOLO, Pascal VOC, CVAT XML, labelme; a folder of pictures (unlabelled, recursive); a
    picture. ``data.yaml:val`` or ``folder:val`` is a split (docs/data.md).

    Args:
        paths: one or more.
        classes: select and order the classes; objects of others are left out, their images stay.
            None: all, in the order met.
        drop_invalid: leave out invalid objects and images with one warning, instead of stopping at
            them. None: as False, where the user has no such choice.
        orientation: in which frame the boxes of pictures with an EXIF rotation lie: ``"upright"``,
            as ``"stored"``, or ``"auto"``: the one whose size the annotations state.
        folders: in which the pictures that a JSON or XML names are looked for first.

    Raises:
        UserError: something is missing or wrong; names the file, the field and the remedy.
    """
    if not paths:
        raise UserError("no path is given; name a folder or file of labels, or an image folder")
    extra = [Path(folder) for folder in folders]
    parts = [
        find_format(Path(path), orientation=orientation, folders=extra).read() for path in paths
    ]
    _settle_problems(parts, drop_invalid)
    labelled = _labelled(parts)
    images, ids = _join(parts)
    notes = [note for part in parts for note in part.notes]
    if not labelled:
        return Dataset((), (), images, ids, notes=notes)
    chosen = choose_classes((name for part in parts for name in part.classes), classes)
    tables = []
    for part in labelled:
        new_label = [chosen.index(name) if name in chosen else -1 for name in part.classes]
        assert part.objects is not None
        tables.append(part.objects.relabel(np.array(new_label, dtype=np.int64)))
    sizes = np.array([size for part in parts for size in part.sizes], dtype=np.int32).reshape(-1, 2)
    category_ids = _category_ids(labelled, chosen)
    return Dataset(
        chosen,
        category_ids or tuple(range(1, len(chosen) + 1)),
        images,
        ids,
        sizes,
        ObjectTable.concatenate(tables),
        [(part.path, len(part.images)) for part in parts],
        notes,
        stored=orientation == "stored",
        own_ids=category_ids is not None,
    )


def open_images(
    *paths: PathLike, drop_invalid: bool = False, folders: Sequence[PathLike] = ()
) -> Dataset:
    """Open the pictures of paths of any format without their labels: for target images.

    No annotation is read: a folder gives its pictures (those in ``JPEGImages/`` if it has one)
    ordered by name, whether or not annotation files lie beside them. Of a COCO JSON named itself
    only the list of files is used, of a ``data.yaml`` the folder of its split.

    Args:
        paths: one or more.
        drop_invalid: leave out images that a COCO JSON lists but are not there, with one warning,
            instead of stopping.
        folders: in which the pictures that a JSON names are looked for first.

    Raises:
        UserError: a path is missing or holds no picture.
    """
    if not paths:
        raise UserError("no path is given; name an image folder")
    extra = [Path(folder) for folder in folders]
    parts = [find_format(Path(path), labels=False, folders=extra).read() for path in paths]
    _settle_problems(parts, drop_invalid)
    return Dataset((), (), *_join(parts))


def _labelled(parts: list[Part]) -> list[Part]:
    """All of them or none; raises UserError where only some are labelled."""
    labelled = [part for part in parts if part.objects is not None]
    if labelled and len(labelled) < len(parts):
        bare = next(part for part in parts if part.objects is None)
        raise UserError(
            f"{bare.path}: {bare.format} without annotations, but {labelled[0].path} "
            "has some; do not mix the two"
        )
    return labelled


def _join(parts: list[Part]) -> tuple[list[Path], list[int | str]]:
    images = [image for part in parts for image in part.images]
    ids = [image_id for part in parts for image_id in part.image_ids]
    counted: list[int | str] = list(range(1, len(ids) + 1))
    return images, ids if len(set(ids)) == len(ids) else counted


def _settle_problems(parts: list[Part], drop_invalid: bool | None) -> None:
    for part in parts:
        if unread := not_read(part.notes):
            _log.warning("%s: %s: dmaskrcnn inspect %s", part.path, unread, part.path)
        if not part.problems:
            continue
        if drop_invalid:
            _log.warning("%s: left out as invalid: %s", part.path, count_kinds(part.problems))
            continue
        count = len(part.problems) - 1
        more = f" (and {count} more: dmaskrcnn inspect {part.path})" if count else ""
        remedy = "" if drop_invalid is None else ", or leave such out with --drop-invalid"
        raise UserError(f"{part.problems[0]}{more}; correct it{remedy}")


def _category_ids(parts: list[Part], classes: tuple[str, ...]) -> tuple[int, ...] | None:
    """The ids on which all parts agree; None where there are none such."""
    found: dict[str, set[int]] = {name: set() for name in classes}
    for part in parts:
        for name, category in zip(part.classes, part.category_ids or (), strict=False):
            if name in found:
                found[name].add(category)
    ids = [next(iter(numbers)) for numbers in found.values() if len(numbers) == 1]
    if (
        len(ids) == len(classes)
        and len(set(ids)) == len(ids)
        and all(part.category_ids is not None for part in parts)
    ):
        return tuple(ids)
    return None
