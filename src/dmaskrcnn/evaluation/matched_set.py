"""A test set with what a detector found in it, matched image by image by every rule of
`dmaskrcnn.evaluation.score`: all that scores and curves are counted from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from faster_coco_eval.core import mask as rle
from numpy.typing import NDArray

from dmaskrcnn.arrays import as_array
from dmaskrcnn.data.classes import canonical
from dmaskrcnn.data.rle import encode
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.average_precision import Ranking, area_under_curve, average_precision
from dmaskrcnn.evaluation.matching import box_overlap, match_coco, match_legacy, match_voc

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


class Pool:
    """The matched detections of one class, image by image.

    Attributes:
        objects: int64 ``(I,)``, objects that count, per image.
    """

    def __init__(self, images: int, thresholds: int) -> None:
        self.objects = np.zeros(images, dtype=np.int64)
        self.parts: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []
        self.thresholds = thresholds

    def add(
        self, image: int, objects: int, scores: NDArray, found: NDArray, ignored: NDArray
    ) -> None:
        """Take in one image: its objects that count, and its detections ``(D,)`` by falling score,
        with what the matching said of them ``(T, D)``."""
        self.objects[image] = objects
        if len(scores):
            self.parts.append(
                (np.full(len(scores), image), scores, np.atleast_2d(found), np.atleast_2d(ignored))
            )

    def ranking(self) -> Ranking:
        """The detections of all images by falling score; of equal scores, the first image first."""
        if not self.parts:
            flags = np.zeros((self.thresholds, 0), dtype=bool)
            return Ranking(np.zeros(0, dtype=np.int64), flags, flags, self.objects)
        image, scores, found, ignored = (
            np.concatenate(part, axis=-1) for part in zip(*self.parts, strict=True)
        )
        order = np.lexsort((image, -scores))
        return Ranking(image[order], found[:, order], ignored[:, order], self.objects)


class MatchedSet:
    """All matching of a test set, made one image at a time, so that only one image's masks are
    ever held.

    Args:
        truth: the test set.
        predictions: one ``Detections`` per image, in the order of ``truth.image_ids``; may be a
            generator, read once.

    Attributes:
        pools: per family (``voc``, ``box``, ``mask``) one `Pool` per class.
        legacy: float64 ``(I,)``, the authors' metric of each image; NaN without an object.
        fingerprint: sha256 of the ground truth.

    Raises:
        ValueError: if there are more or fewer predictions than images.
        UserError: if the masks of an image differ in size between truth and prediction.
    """

    def __init__(self, truth: GroundTruth, predictions: Iterable[Detections]) -> None:
        images, classes = len(truth.image_ids), len(truth.classes)
        self.ids = list(truth.image_ids)
        # Of equal scores the image with the lower id comes first, as in pycocotools.
        order = sorted(range(images), key=lambda i: (isinstance(self.ids[i], str), self.ids[i]))
        self.place = np.empty(images, dtype=np.int64)
        self.place[order] = np.arange(images)
        self.pools = {
            family: [
                Pool(images, 1 if family == "voc" else len(COCO_OVERLAPS)) for _ in range(classes)
            ]
            for family in ("voc", "box", "mask")
        }
        self.legacy = np.full(images, np.nan)
        self.fingerprint = hashlib.sha256(repr((self.ids, tuple(truth.classes))).encode())
        self._index = {canonical(name): index for index, name in enumerate(truth.classes)}
        self._translations: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._detections = 0
        self._masks_found = False
        for index, found in zip(range(images), predictions, strict=True):
            self._add(index, truth.annotations(index), found)

    @property
    def has_masks(self) -> bool:
        """Whether there are masks to find, and detections with masks (or none at all)."""
        return any(pool.objects.any() for pool in self.pools["mask"]) and (
            self._masks_found or not self._detections
        )

    def _add(self, index: int, objects: Annotations, detections: Detections) -> None:
        """Match the detections of one image by every rule."""
        image, detections = self.place[index], detections.to("cpu")
        order = np.argsort(-as_array(detections.scores), kind="stable")
        labels = self._translate(detections)[order]
        scores = as_array(detections.scores)[order].astype(np.float64)
        boxes = as_array(detections.boxes)[order].astype(np.float64)
        real_labels = as_array(objects.labels)
        real_boxes = as_array(objects.boxes).astype(np.float64)
        crowd, difficult = as_array(objects.crowd), as_array(objects.difficult)
        for part in (
            real_labels,
            as_array(objects.boxes),
            crowd,
            difficult,
            as_array(objects.has_mask),
        ):
            self.fingerprint.update(part.tobytes() + b"|")

        overlap = box_overlap(boxes, real_boxes, crowd)
        with_masks = bool(objects.has_mask.all())
        if with_masks:
            self._detections += len(scores)
            self._masks_found = self._masks_found or bool(detections.masks.any())
        for label in np.union1d(labels[labels >= 0], real_labels).tolist():
            (rows,), (columns,) = (labels == label).nonzero(), (real_labels == label).nonzero()
            flags = difficult[columns], crowd[columns]
            counted = int((~(flags[0] | flags[1])).sum())
            self.pools["voc"][label].add(
                image, counted, scores[rows], *match_voc(overlap[np.ix_(rows, columns)], *flags)
            )
            rows = rows[:COCO_DETECTIONS]
            matched = match_coco(overlap[np.ix_(rows, columns)], *flags, COCO_OVERLAPS)
            self.pools["box"][label].add(image, counted, scores[rows], *matched)
            if with_masks:
                mask_overlap = self._mask_overlap(index, detections, order[rows], objects, columns)
                matched = match_coco(mask_overlap, *flags, COCO_OVERLAPS)
                self.pools["mask"][label].add(image, counted, scores[rows], *matched)

        if not crowd.all():
            confident = as_array(detections.scores)[order] >= LEGACY_SCORE
            rows = np.flatnonzero(confident)[:LEGACY_DETECTIONS]
            same = labels[rows, None] == real_labels[None]
            found, ignored = match_legacy(np.where(same, overlap[rows], 0.0), crowd)
            zeros, one = np.zeros(len(rows), dtype=np.int64), np.ones((1, 1), dtype=np.int64)
            ranking = Ranking(zeros, found[None], ignored[None], np.array([(~crowd).sum()]))
            self.legacy[image] = average_precision(ranking, one, area_under_curve)[0, 0]

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
        rows: NDArray,
        objects: Annotations,
        columns: NDArray,
    ) -> NDArray[np.float64]:
        """Mask overlap ``(D, G)`` of some detections and objects of one image; detections without a
        mask overlap nothing."""
        result = np.zeros((len(rows), len(columns)))
        found = as_array(detections.masks)[rows]
        if not result.size or not found.size:
            return result
        if found.shape[1:] != objects.masks.shape[1:]:
            sizes = ["×".join(map(str, reversed(m.shape[1:]))) for m in (found, objects.masks)]
            raise UserError(
                f"image {self.ids[index]}: predicted masks are {sizes[0]} pixels, the annotated "
                f"ones {sizes[1]}; "
                "predict on the images of this data set, at their own size"
            )
        real = as_array(objects.masks)[columns]
        crowd = as_array(objects.crowd)[columns].astype(int).tolist()
        one, other = ([encode(mask) for mask in masks] for masks in (found, real))
        return np.asarray(rle.iou(one, other, crowd))
