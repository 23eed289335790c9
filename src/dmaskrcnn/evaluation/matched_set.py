"""A test set with what a detector found in it, matched image by image by every rule of
`dmaskrcnn.evaluation.score`: all that scores and curves are counted from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from faster_coco_eval.core import mask as rle
from numpy.typing import NDArray

from dmaskrcnn.arrays import as_array
from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.average_precision import Ranking
from dmaskrcnn.evaluation.matching import LEAST, Pairs, box_overlap, match_coco, match_voc

COCO_OVERLAPS = np.linspace(0.5, 0.95, 10)
COCO_DETECTIONS = 100  # per image and class
LEGACY_SCORE = np.float32(0.7)
LEGACY_DETECTIONS = 100  # per image


class GroundTruth(Protocol):
    """What a test set has to offer; `dmaskrcnn.data.open_dataset` gives one."""

    @property
    def classes(self) -> Sequence[str]:
        """The class names that labels index."""
        ...

    @property
    def image_ids(self) -> Sequence[int | str]:
        """One id per image."""
        ...

    def annotations(self, index: int, /) -> Annotations:
        """The objects of one image."""
        ...


@dataclass(frozen=True)
class MatchedImage:
    """What is kept of one image: no masks.

    Attributes:
        place: of the image among all, by its id.
        scores, labels: of its detections by falling score; −1 where the truth lacks the class.
        boxes, masks: pairs of a detection and an object, see `Pairs`, numbered in the image.
        with_masks: whether all its objects have one.
    """

    place: int
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    real_labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    boxes: Pairs
    masks: Pairs
    with_masks: bool


class MatchedSet:
    """All matching of a test set; the masks of one image at a time are looked at.

    Args:
        truth: the test set.
        predictions: one ``Detections`` per image, in the order of ``truth.image_ids``; may be a
            generator, read once.

    Attributes:
        place: int64 ``(I,)``, of each image among all by its id.
        fingerprint: sha256 of the ground truth.

    Raises:
        ValueError: if there are more or fewer predictions than images.
        UserError: if the masks of an image differ in size between truth and prediction.
    """

    def __init__(self, truth: GroundTruth, predictions: Iterable[Detections]) -> None:
        images = len(truth.image_ids)
        self.ids = list(truth.image_ids)
        # Of equal scores the image with the lower id comes first, as in pycocotools.
        order = sorted(range(images), key=lambda i: (isinstance(self.ids[i], str), self.ids[i]))
        self.place = np.empty(images, dtype=np.int64)
        self.place[order] = np.arange(images)
        self.classes = len(truth.classes)
        self.fingerprint = hashlib.sha256(repr((self.ids, tuple(truth.classes))).encode())
        self._index = {canonical(name): index for index, name in enumerate(truth.classes)}
        self._translations: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._masks_expected = self._masks_found = False
        self._images = [
            self._read(index, truth.annotations(index), found)
            for index, found in zip(range(images), predictions, strict=True)
        ]

    def _read(self, index: int, objects: Annotations, detections: Detections) -> MatchedImage:
        """What may match in one image."""
        order = np.argsort(-as_array(detections.scores), kind="stable")
        labels = self._translate(detections)[order]
        boxes = as_array(detections.boxes)[order].astype(np.float64)
        real_labels, real_boxes = as_array(objects.labels), as_array(objects.boxes)
        crowd, difficult = as_array(objects.crowd), as_array(objects.difficult)
        for part in (real_labels, real_boxes, crowd, difficult, as_array(objects.has_mask)):
            self.fingerprint.update(part.tobytes() + b"|")
        same = labels[:, None] == real_labels
        overlap = box_overlap(boxes, real_boxes.astype(np.float64), crowd)
        with_masks = bool(objects.has_mask.all())
        masks = np.zeros_like(overlap)
        if with_masks:
            self._masks_expected |= bool(len(order))
            self._masks_found = self._masks_found or bool(detections.packed.areas.any())
            top = _places_in_class(labels) < COCO_DETECTIONS
            masks = self._mask_overlap(index, detections, order, same & top[:, None], objects)
        return MatchedImage(
            int(self.place[index]),
            as_array(detections.scores)[order].astype(np.float64),
            labels,
            real_labels,
            crowd,
            difficult,
            Pairs.of(overlap * same),
            Pairs.of(masks),
            with_masks,
        )

    def _translate(self, detections: Detections) -> NDArray[np.int64]:
        """The labels of the detections as indices into the classes of the truth; -1 where it lacks
        the class."""
        if detections.classes not in self._translations:
            names = [self._index.get(canonical(name), -1) for name in detections.classes]
            self._translations[detections.classes] = np.array([*names, -1], dtype=np.int64)
        return self._translations[detections.classes][as_array(detections.labels)]

    def _mask_overlap(
        self,
        index: int,
        detections: Detections,
        order: NDArray[np.int64],
        wanted: NDArray[np.bool_],
        objects: Annotations,
    ) -> NDArray[np.float64]:
        """Mask overlap ``(D, G)`` of the detections, in this order, and the objects of one image,
        where it is wanted, which is by classes; detections without a mask overlap nothing."""
        result = np.zeros(wanted.shape)
        found, real = detections.packed, objects.packed
        if not wanted.any() or 0 in found.shape:
            return result
        if found.shape[1:] != real.shape[1:]:
            sizes = ["×".join(map(str, reversed(m.shape[1:]))) for m in (found, real)]
            raise UserError(
                f"image {self.ids[index]}: predicted masks are {sizes[0]} pixels, the annotated "
                f"ones {sizes[1]}; predict on the images of this data set, at their own size"
            )
        crowd = as_array(objects.crowd).astype(int).tolist()
        one, other = found[order].rles, real.rles
        left = np.asarray(wanted.any(0))
        while left.any():  # a class at a time
            rows = np.flatnonzero(wanted[:, left.argmax()])
            columns = np.flatnonzero(wanted[rows[0]])
            left[columns] = False
            some = [one[i] for i in rows], [other[i] for i in columns], [crowd[i] for i in columns]
            result[np.ix_(rows, columns)] = rle.iou(*some)
        return result

    @cached_property
    def _detections(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Of all detections the image, the score and the label."""
        counts = [len(image.scores) for image in self._images]
        places = np.repeat(np.array([i.place for i in self._images], dtype=np.int64), counts)
        return (
            places,
            _joined([i.scores for i in self._images], float),
            _joined([i.labels for i in self._images], np.int64),
        )

    @cached_property
    def _objects(self) -> tuple[NDArray[np.int64], NDArray, NDArray, NDArray]:
        """Of all objects the image, the label, and whether they are crowds or difficult."""
        counts = [len(image.crowd) for image in self._images]
        return (
            np.repeat(np.array([i.place for i in self._images], dtype=np.int64), counts),
            _joined([i.real_labels for i in self._images], np.int64),
            _joined([i.crowd for i in self._images], bool),
            _joined([i.difficult for i in self._images], bool),
        )

    def _all_pairs(self, family: str) -> Pairs:
        parts = [getattr(image, family) for image in self._images]
        sizes = [len(part.overlap) for part in parts]
        before = [[len(i.scores) for i in self._images], [len(i.crowd) for i in self._images]]
        starts = [np.repeat(np.cumsum([0, *counts])[:-1], sizes) for counts in before]
        return Pairs(
            _joined([part.detection for part in parts], np.int64) + starts[0],
            _joined([part.target for part in parts], np.int64) + starts[1],
            _joined([part.overlap for part in parts], float),
        )

    def _group(self) -> NDArray[np.int64]:  # of each detection: a number per image and class
        image, _, labels = self._detections
        return image * (self.classes + 1) + labels

    def rankings(self, family: str) -> list[Ranking]:
        """The matched detections of each class by falling score; of equal scores, the first image
        first. ``family``: ``voc``, ``box`` or ``mask``."""
        image, scores, labels = self._detections
        _, _, crowd, difficult = self._objects
        if family == "voc":
            counted = labels >= 0
            found, ignored = match_voc(self._all_pairs("boxes"), len(image), difficult, crowd)
        else:
            group = self._group()
            counted = (labels >= 0) & (_places_in_class(group) < COCO_DETECTIONS)
            pairs = self._all_pairs("boxes" if family == "box" else "masks")
            pairs, ignore = pairs[counted[pairs.detection]], difficult | crowd
            found, ignored = match_coco(pairs, group, ignore, crowd, COCO_OVERLAPS)
        known = self._known(family)
        chosen = np.flatnonzero(counted & known[image])
        chosen = chosen[np.lexsort((image[chosen], -scores[chosen], labels[chosen]))]
        ends = np.searchsorted(labels[chosen], np.arange(self.classes + 1))
        found, ignored = found[:, chosen], (ignored | ~found & self._unasked(family))[:, chosen]
        rankings = []
        for label in range(self.classes):
            own = slice(*ends[label : label + 2].tolist())
            numbers = self._counted(label) * known
            flags = found[:, own], ignored[:, own]
            rankings.append(Ranking(image[chosen[own]], *flags, numbers, family != "voc"))
        return rankings

    def _unasked(self, family: str) -> NDArray[np.bool_]:
        """Which detections are no false positives where they find nothing."""
        return np.zeros(len(self._detections[0]), dtype=bool)

    def _known(self, family: str) -> NDArray[np.bool_]:
        """Which images, by their place, the family looks at: where an object has no mask, the truth
        is not whole."""
        known = np.ones(len(self._images), dtype=bool)
        if family == "mask":
            known[[image.place for image in self._images if not image.with_masks]] = False
        return known

    def _counted(self, label: int) -> NDArray[np.int64]:
        """Objects of a class that count, per image by its place."""
        image, labels, crowd, difficult = self._objects
        own = image[(labels == label) & ~(crowd | difficult)]
        return np.bincount(own, minlength=len(self._images))

    @property
    def has_masks(self) -> bool:
        """Whether there are masks to find, and detections with masks (or none at all)."""
        image, _, crowd, difficult = self._objects
        to_find = self._known("mask")[image] & ~(crowd | difficult)
        return bool(to_find.any()) and (self._masks_found or not self._masks_expected)

    @property
    def legacy(self) -> NDArray[np.float64]:
        """The authors' metric of each image by its place, ``(I,)``; NaN without an object.

        Each detection takes the free object of its class that it overlaps most; those left over in
        a crowd region (the authors' data has none) are ignored. All classes are in one ranking.
        """
        image, scores, _ = self._detections
        confident = scores.astype(np.float32) >= LEGACY_SCORE
        confident &= _places_in_class(image) < LEGACY_DETECTIONS
        pairs, crowd = self._all_pairs("boxes"), self._objects[2]
        pairs = pairs[confident[pairs.detection]]
        least = np.array([LEAST])
        found, ignored = (m[0] for m in match_coco(pairs, self._group(), crowd, crowd, least))
        chosen = np.flatnonzero(confident & ~ignored)
        chosen = chosen[np.argsort(image[chosen], kind="stable")]
        objects = np.bincount(self._objects[0][~crowd], minlength=len(self._images))
        result = np.where(objects > 0, 0.0, np.nan)
        ends = np.searchsorted(image[chosen], np.arange(len(self._images) + 1)).tolist()
        right = found[chosen]
        for number in np.unique(image[chosen[right]]).tolist():
            own = right[ends[number] : ends[number + 1]]
            precision = np.arange(1, own.sum() + 1) / (np.flatnonzero(own) + 1)
            envelope = np.maximum.accumulate(precision[::-1])
            result[number] = envelope.sum() / objects[number]
        return result


def _places_in_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each, how many of its label come before it."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return place


def _joined(parts: list[NDArray], dtype: type) -> NDArray:
    return np.concatenate([np.zeros(0, dtype), *parts])
