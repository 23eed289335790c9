"""Another detector's results on the target images, as labels to learn: ``--pseudo-labels FILE``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmaskrcnn.config.labelling import TRAINED
from dmaskrcnn.data import Dataset
from dmaskrcnn.data.image import image_size
from dmaskrcnn.data.objects import ObjectTableBuilder
from dmaskrcnn.distributed import rank
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import load_results
from dmaskrcnn.methods.parts.consensus import agreed
from dmaskrcnn.methods.parts.distillation import CANDIDATE

_log = logging.getLogger(__name__)
# Objects per picture. With 0.3 and 0.4, and more of what was unsure, students found ever more that
# was not there; a detector whose labels helped had 2.1 (docs/results.md).
LEAST_SURE = 0.5


def with_pseudo_labels(
    target: Dataset, path: Path, source: Dataset, threshold: float, labeller: str = ""
) -> Dataset:
    """The target images with the detections of a file, as of `load_results`, as their objects.

    Detections of at least ``threshold`` are objects; those from `CANDIDATE` up to it become crowd
    regions, neither object nor background unless `agreed` says otherwise; the rest, and those of
    classes that the source lacks, are left out. Labels that are sure of little are warned of.

    Args:
        target: unlabelled images; the file's ``image_id`` is their id, which for a folder is the
            file name without suffix.
        path: the JSON, with names of classes, or the source's category ids where it has such.
        source: for classes and category ids.
        threshold: lowest score of an object, in (0, 1].
        labeller: whose file it is, if a labeller's (``--labeller``): its work is not lost where no
            score reaches the threshold, since the teacher may confirm it.

    Raises:
        UserError: the file is missing or no results JSON, names no target image, has ids of classes
            that nobody knows, or, if it is no labeller's, no score in it reaches the threshold.
    """
    ids = dict(zip(source.classes, source.category_ids, strict=True))
    sizes = [_size(file) for file in target.paths]
    results = load_results(
        path,
        target.image_ids,
        ids,
        sizes,
        paths=target.paths,
        own_ids=source.own_ids,
        partly=True,  # pictures that are broken are left out, or removed while a training rests
    )
    table, objects, unsure = ObjectTableBuilder(), 0, 0
    for image, (found, (height, width)) in enumerate(zip(results, sizes, strict=True)):
        boxes = found.boxes.clamp(min=0).minimum(
            found.boxes.new_tensor([width, height, width, height])
        )
        for row, (box, label, score) in enumerate(
            zip(boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
        ):
            if (
                score < min(CANDIDATE, threshold)
                or label >= len(ids)
                or box[2] - box[0] < 1
                or box[3] - box[1] < 1
            ):
                continue
            is_object = score >= threshold
            objects += is_object
            unsure += not is_object
            mask = results.segmentation(image, row)
            table.add(image, (box[0], box[1], box[2], box[3]), label, mask, crowd=not is_object)
    if not objects and not labeller:
        raise UserError(
            f"{path}: no detection of the source's classes reaches {threshold}; lower "
            "--pseudo-threshold"
        )
    # of empty roads a detector that is sure finds little, too, but does not guess more than that
    if objects < LEAST_SURE * len(target) and objects < max(unsure, 1) and rank() == 0:
        remedy = "lower --pseudo-threshold if its scores are low though right"
        if labeller:
            longer = "train the labeller for longer (--iterations, --labeller-share)"
            remedy = longer if labeller in TRAINED else "take a better run as --labeller"
        _log.warning(
            "%s: is sure of %.2f objects per target picture (scores of %g and more), and of %.2f "
            "it is not: such labels did harm where it was measured; %s, or do without",
            path,
            objects / len(target),
            threshold,
            unsure / len(target),
            remedy,
        )
    return _labelled(target, source, sizes, table)


def both_labels(brought: Dataset, seen: Dataset) -> Dataset:
    """The same images with what two files say together of each, as `agreed`; masks as there."""
    table = ObjectTableBuilder()
    for image in range(len(brought)):
        both = agreed(brought.annotations(image), seen.annotations(image))
        for box, label, rle, has_mask, crowd in zip(
            both.boxes.tolist(),
            both.labels.tolist(),
            both.packed.rles,
            both.has_mask.tolist(),
            both.crowd.tolist(),
            strict=True,
        ):
            table.add(image, tuple(box), label, rle if has_mask else None, crowd=crowd)
    return _labelled(brought, brought, list(map(brought.size, range(len(brought)))), table)


def _labelled(
    images: Dataset, source: Dataset, sizes: Sequence[tuple[int, int]], table: ObjectTableBuilder
) -> Dataset:
    """These images with these objects of the classes of the source."""
    return Dataset(
        source.classes,
        source.category_ids,
        images.paths,
        images.image_ids,
        np.array(sizes, dtype=np.int32),
        table.build(len(images)),
    )


def _size(file: Path) -> tuple[int, int]:
    """``(height, width)``; 0 of a picture that is broken behind its header, which no training
    sees."""
    try:
        return image_size(file)[0]
    except UserError:
        return 0, 0
