"""Predictions on disk: COCO's results format, so that they can be scored again without the model,
here or elsewhere.

A JSON list of ``{"image_id", "category_id", "bbox": [x, y, width, height], "score", "segmentation":
RLE}``. The last may be missing (a detector without masks). One addition: ``category_name``, which
counts where it is there: names mean the same in every data set, ids do not. A detection of a class
that the data set lacks carries an id of its own, because the authors' metric counts it as a false
positive; other tools skip such ids.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from dmaskrcnn.arrays import as_tensor
from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.json_parts import uncollected
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.rle import check_rle
from dmaskrcnn.data.values import shown
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.odd_results import warn_of_odd
from dmaskrcnn.evaluation.results_files import Classes, read_results
from dmaskrcnn.evaluation.results_pictures import Pictures, UnknownPictureError
from dmaskrcnn.files import write_text

_log = logging.getLogger(__name__)


def save_results(
    path: str | os.PathLike[str],
    image_ids: Sequence[int | str],
    detections: Iterable[Detections],
    category_ids: Mapping[str, int],
) -> None:
    """Write predictions so that `load_results` gives back the same boxes, scores and masks, bit for
    bit.

    Args:
        path: the JSON to write; replaced only once all is written.
        image_ids: one per image.
        detections: one per image, in the same order; may be a generator.
        category_ids: the data set's category id per class name.

    Raises:
        ValueError: if there are more or fewer detections than images.
        UserError: if the file cannot be written.
    """
    writer = ResultLines(category_ids)
    of_each = zip(image_ids, detections, strict=True)
    write_results(path, (line for pair in of_each for line in writer.lines(*pair)))


class ResultLines:
    """The lines of a results JSON.

    Args:
        category_ids: the data set's category id per class name.
    """

    def __init__(self, category_ids: Mapping[str, int]) -> None:
        self._known = {canonical(name): number for name, number in category_ids.items()}
        self._ids: dict[str, int] = {}  # per name as the detector spells it

    def lines(self, image_id: int | str, found: Detections) -> list[str]:
        """A line per detection of an image."""
        known, ids, lines = self._known, self._ids, []
        for name in found.classes:
            if name not in ids:
                ids[name] = known.setdefault(canonical(name), max(known.values(), default=0) + 1)
        has_mask = (found.packed.areas > 0).tolist()
        for entry, name, masked in zip(
            found.to_coco(image_id, ids), found.names, has_mask, strict=True
        ):
            if not masked:
                del entry["segmentation"]
            entry["category_name"] = name
            lines.append(json.dumps(entry))
        return lines


def write_results(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Write the lines of a results JSON. Raises UserError where that cannot be."""
    write_text(Path(path), "[\n" + ",\n".join(lines) + "\n]\n")


@uncollected()
def load_results(
    path: str | os.PathLike[str],
    image_ids: Sequence[int | str],
    category_ids: Mapping[str, int],
    sizes: Sequence[tuple[int, int]] | None = None,
    paths: Sequence[Path] = (),
    own_ids: bool = True,
    partly: bool = False,
) -> Results:
    """Read predictions of this project or any other detector, in a form of `read_results`.

    A class is known by its name: that of the entry, or that which the file or ``:coco`` gives its
    id. A bare id is the data set's, where that has ids of its own. Classes that the data set lacks
    stand with labels after its own. Boxes that cannot be those of the pictures are warned of.

    Args:
        path: the JSON.
        image_ids: the images of the data set; those without an entry have no detections.
        category_ids: the data set's category id per class name.
        sizes: ``(height, width)`` of each image, which masks must have and where boxes should lie;
            None believes them.
        paths: the file of each image: entries may name it instead of an id.
        own_ids: whether the ids stand in the data set; they may be made up.
        partly: whether the data set may lack some of the file's images, which are then left out
            with a warning: not where a score would hang on it.

    Raises:
        UserError: if the file is missing, is no list of detections, lacks a field, has a number
            that is not finite, names an image that the data set lacks (``partly``: none that it
            has), two by one name or one by two, or a class of which nobody knows what it is, or has
            a mask of another size than its image.
    """
    content = read_results(path)
    known = Classes(content, category_ids, own_ids)
    pictures = Pictures(image_ids, paths, content)
    labels = {canonical(name): label for label, name in enumerate(category_ids)}
    classes = list(category_ids)
    images: dict[int | str, list[_Entry]] = {image_id: [] for image_id in image_ids}
    size_of = dict(zip(image_ids, map(list, sizes or ()), strict=sizes is not None))
    boxes, sizes_of_boxes = [], []
    unknown: list[UnknownPictureError] = []
    for index, entry in enumerate(content.entries):
        where = f"{content.path}: entry {index}"
        one = _Entry(where, entry)
        try:
            image_id = pictures.of_entry(where, entry)
        except UnknownPictureError as error:
            unknown.append(error)
            if partly:
                continue
            raise
        name = known.name(where, entry)
        if name not in labels:
            labels[name] = len(classes)
            classes.append(name)
        if one.mask and one.mask["size"] != size_of.get(image_id, one.mask["size"]):
            raise UserError(
                f"{where}: segmentation has the size {one.mask['size']}, its picture "
                f"{size_of[image_id]} (height, width); predict on the pictures as they are"
            )
        one.label = labels[name]
        images[image_id].append(one)
        boxes.append(one.box)
        sizes_of_boxes.append(size_of.get(image_id, (0, 0)))
    if unknown:
        if not boxes:
            raise unknown[0]
        count = f"{len(unknown)} of {len(content.entries)} detections"
        _log.warning("%s are left out, whose pictures are not there: %s", count, unknown[0])
    warn_of_odd(
        content.path,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(sizes_of_boxes, dtype=np.float64).reshape(-1, 2),
    )
    for found in images.values():
        found.sort(key=lambda one: -one.score)
    return Results([images[image_id] for image_id in image_ids], tuple(classes))


class Results(Sequence[Detections]):
    """Loaded predictions, one ``Detections`` per image. Masks stay run lengths until an image is
    asked for."""

    def __init__(self, images: list[list[_Entry]], classes: tuple[str, ...]) -> None:
        self._images = images
        self.classes = classes

    def __len__(self) -> int:
        return len(self._images)

    @property
    def found(self) -> set[str]:
        """The classes of which there is a detection."""
        return {self.classes[one.label] for image in self._images for one in image}

    def count(self, image: int) -> int:
        """How many detections an image has."""
        return len(self._images[image])

    def segmentation(self, image: int, row: int) -> dict[str, Any] | None:
        """The run lengths of one detection's mask, in the order of ``self[image]``; None where the
        file has none."""
        return self._images[image][row].mask

    @overload
    def __getitem__(self, index: int) -> Detections: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Detections | Results:
        """The detections of one image by falling score, their masks packed; these are ``(N, 0, 0)``
        where the file has none.

        Raises:
            UserError: if a mask of the image cannot be decoded, or its masks differ in size.
        """
        if isinstance(index, slice):
            return Results(self._images[index], self.classes)
        found = self._images[index]
        boxes = np.array([one.box for one in found], dtype=np.float64).reshape(-1, 4)
        labels = np.array([one.label for one in found], dtype=np.int64)
        scores = np.array([one.score for one in found], dtype=np.float32)
        boxes, labels, scores = map(as_tensor, (boxes.astype(np.float32), labels, scores))
        return Detections(boxes, labels, scores, _packed(found), self.classes)


class _Entry:
    """One checked detection of a results file."""

    __slots__ = ("box", "label", "mask", "score", "where")

    def __init__(self, where: str, entry: Any) -> None:
        if not isinstance(entry, dict):
            raise UserError(
                f"{where}: is {type(entry).__name__}, not an object with image_id, "
                "category_id, bbox and score"
            )
        named = "file_name" in entry
        for field in ("bbox", "score") if named else ("image_id", "bbox", "score"):
            if field not in entry:
                raise UserError(
                    f"{where}: lacks the field {field}; write COCO results (image_id, "
                    "category_id or category_name, bbox, score)"
                )
        self.where, self.label = where, -1
        box, score = entry["bbox"], entry["score"]
        if not (
            isinstance(box, list)
            and len(box) == 4
            and all(map(_is_number, box))
            and box[2] >= 0
            and box[3] >= 0
        ):
            raise UserError(
                f"{where}: bbox {shown(box)} must be [x, y, width, height] in pixels: "
                "finite numbers, sizes at least 0"
            )
        if not (_is_number(score) and 0 <= score <= 1):
            raise UserError(f"{where}: score {shown(score)} must be a number between 0 and 1")
        x, y, width, height = box
        self.box, self.score = (x, y, x + width, y + height), score
        self.mask = _run_lengths(where, entry.get("segmentation"))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e9 < value < 1e9  # True is no 1; nor is NaN


def _run_lengths(where: str, segmentation: Any) -> dict[str, Any] | None:
    """A checked run-length mask, still encoded; None where there is none."""
    if segmentation is None or segmentation == []:
        return None
    if reason := check_rle(segmentation):
        raise UserError(
            f"{where}: segmentation {reason}; write "
            '{"size": [height, width], "counts": …}, encoded with pycocotools.mask'
        )
    return {"size": segmentation["size"], "counts": segmentation["counts"]}


def _packed(found: list[_Entry]) -> PackedMasks:
    """Their masks; empty for a detection without one."""
    height, width = next((one.mask["size"] for one in found if one.mask), (0, 0))
    for one in found:
        if one.mask and one.mask["size"] != [height, width]:
            raise UserError(
                f"{one.where}: segmentation has the size {one.mask['size']}, but "
                f"another of its image {[height, width]}"
            )
    try:
        return PackedMasks.of_segmentations(height, width, [one.mask for one in found])
    except ValueError:
        raise _undecodable(found, height, width) from None


def _undecodable(found: list[_Entry], height: int, width: int) -> UserError:
    """Which one it is."""
    for one in found:
        try:
            PackedMasks.of_segmentations(height, width, [one.mask])
        except ValueError as error:
            return UserError(
                f"{one.where}: segmentation cannot be decoded ({error}); encode it with "
                "pycocotools.mask"
            )
    raise AssertionError  # one of them cannot
