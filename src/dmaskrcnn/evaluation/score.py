"""How good detections are: Pascal VOC AP50, COCO AP for boxes and masks, and the authors' metric,
with 95 % intervals.

    scores = score(dataset, detections)  # matching once, then 1,000 resamples of the images
    print(scores.table())
    paired_difference(score(data, before), score(data, after))["voc/AP50"]

Classes meet by name (aliases included). What each family of numbers counts:

``voc/AP50`` (VOC devkit, all-point interpolation)
    Difficult objects and crowd regions are neither positives nor false positives. No cap on the
    detections per image.
``box/AP``, ``box/AP50``, ``box/AP75`` (COCO, area "all", 100 detections per image and class)
    Mean over the overlaps 0.50, 0.55, …, 0.95; crowd regions as in pycocotools, difficult objects
    ignored likewise.
``mask/AP``, ``mask/AP50``, ``mask/AP75`` (the same with mask overlap)
    Only where the ground truth and the detections have masks. An image in which any object is
    annotated with a box only is left out, since its truth is incomplete; images without objects
    count.
``legacy/mAP`` (the metric of the DMask R-CNN authors)
    For each image an average precision at IoU 0.5 over all classes in one ranking (a match needs
    the same class, and goes to the free object of greatest overlap; all-point interpolation), then
    the mean over the images that have objects. Scores of at least 0.7, the 100 highest. Detections
    of classes that the test set lacks are false positives here, and only here. Difficult objects
    count like others. An image with objects and no detection scores 0; one without objects is
    skipped (the authors' data has none). Their NMS threshold, 0.3, is a setting of the detector,
    not of the metric: to reproduce a published figure, predict with it.

Means are over the classes with at least one object. Intervals resample images, or groups of images
that are not independent (`dmaskrcnn.data.frames`); a class whose objects lie in a single image or
group gets none, since resampling one says nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.detections import Detections
from dmaskrcnn.evaluation.average_precision import Ranking, average_precision
from dmaskrcnn.evaluation.bootstrap import Metric, mean_over_classes, resample_counts, with_interval
from dmaskrcnn.evaluation.matched_set import GroundTruth, MatchedSet
from dmaskrcnn.evaluation.resampled import Rows, resampled_precision
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.sized_set import Size, SizedSet


def score(
    truth: GroundTruth,
    predictions: Iterable[Detections],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
    size: Size | None = None,
) -> Scores:
    """Compare detections with the ground truth.

    Args:
        truth: the test set.
        predictions: one ``Detections`` per image, in the order of ``truth.image_ids``; may be a
            generator, read once.
        bootstrap: resamples of the images for the intervals; 0 gives none.
        seed: of the resampling. The same seed on the same images draws the same resamples, which
            pairs two runs.
        groups: the group of each image, ``(images,)``, any whole numbers: images of a group are
            drawn together. None: each by itself.
        size: of the objects that are asked for, see `SizedSet`; the authors' metric asks for all.
            None: all.

    Raises:
        ValueError: if there are more or fewer predictions or groups than images.
        UserError: if the masks of an image differ in size between truth and prediction.
    """
    matched = SizedSet(truth, predictions, size) if size else MatchedSet(truth, predictions)
    images = len(truth.image_ids)
    owner = np.empty(images, dtype=np.int64)  # in the order of the pools
    owner[matched.place] = np.arange(images) if groups is None else groups
    owner = _numbered(owner)
    drawn = len(np.unique(owner))
    counts = resample_counts(drawn, bootstrap, seed)[owner]
    weights = counts.astype(np.float32)
    families = {
        "voc": {"AP50": slice(0, 1)},
        "box": {"AP": slice(0, 10), "AP50": slice(0, 1), "AP75": slice(5, 6)},
    }
    if matched.has_masks:
        families["mask"] = families["box"]
    rankings = {family: matched.rankings(family) for family in families}
    # a class at a time: its curves of boxes and of masks are of the same detections
    by_class = [_areas(of_class, weights) for of_class in zip(*rankings.values(), strict=True)]
    metrics: dict[str, Metric] = {}
    for index, (family, parts) in enumerate(families.items()):
        # (classes, 1 + B, T)
        areas = np.array([of_class[index] for of_class in by_class])
        if not by_class:
            areas = np.empty((0, 1, 10))
        for part, steps in parts.items():
            values = areas[..., steps].mean(-1)
            metrics[f"{family}/{part}"] = _metric(mean_over_classes(values), owner)
            for name, ranking, row in zip(truth.classes, rankings[family], values, strict=True):
                metrics[f"{family}/{part}/{name}"] = _metric(row, owner[ranking.objects > 0])
    of_box = zip(truth.classes, rankings["box"], strict=True)
    objects = {name: int(ranking.objects.sum()) for name, ranking in of_box}
    of_images = matched.legacy
    with_objects = ~np.isnan(of_images)
    with np.errstate(invalid="ignore"):
        both = np.column_stack([np.ones(images), counts])
        legacy = np.nan_to_num(of_images) @ both / (with_objects @ both)
    metrics["legacy/mAP"] = _metric(legacy, owner[with_objects])
    return Scores(
        metrics=metrics,
        objects=objects,
        images=images,
        bootstrap=bootstrap,
        seed=seed,
        fingerprint=matched.fingerprint.hexdigest(),
        groups=drawn,
        grouping="" if drawn == images else hashlib.sha256(owner.tobytes()).hexdigest(),
    )


def _areas(rankings: Sequence[Ranking], weights: Rows) -> list[NDArray[np.float64]]:
    """Average precision of a class by each rule: of the test set and of its resamples, at each
    threshold, ``(1 + B, T)``."""
    curves = [ranking.curves for ranking in rankings]
    every = [curve for of_rule in curves for curve in of_rule]
    whole = np.array([average_precision(curve) for curve in every])
    areas = np.concatenate([whole[:, None], resampled_precision(every, weights)], axis=1)
    ends = np.cumsum([len(of_rule) for of_rule in curves])
    return [of_rule.T for of_rule in np.split(areas, ends[:-1])]


def _numbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same groups, numbered from 0 in the order met."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def _metric(values: NDArray[np.float64], groups: NDArray[np.int64]) -> Metric:
    """A metric from its value on the test set and on each resample ``(1 + B,)``; no interval where
    all images that it is about are of one group."""
    value = float(values[0]) if len(values) else np.nan
    return with_interval(value, values[1:]) if len(np.unique(groups)) > 1 else Metric(value)
