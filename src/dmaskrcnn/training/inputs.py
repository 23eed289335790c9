"""What a training reads: its data sets, opened and checked, and their batches with the augmentation
of its method."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace
from typing import Any

import torch

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Augmentation, Batches, Dataset, open_dataset, open_images, same_images
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.distributed import rank, world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.haze.random_haze import HazeAugment
from dmaskrcnn.methods.parts.pseudo_labels import with_pseudo_labels

# largest share of a target picture that is hidden from the student (Hoyer et al. 2023 hide 0.5)
HIDE = 0.5


def open_data(config: TrainConfig) -> tuple[Dataset, Dataset | None]:
    """Source and target (None where there is no use for it). Raises UserError for what is missing
    or wrong, of --test too."""
    if not config.source:
        raise UserError(
            "--source is missing: give labelled images (a COCO JSON file or a Pascal VOC folder)"
        )
    source = open_dataset(
        *config.source, classes=config.classes or None, drop_invalid=config.drop_invalid
    )
    if not source.labelled:
        raise UserError(
            f"--source {config.source[0]}: holds images but no labels; give a COCO JSON file or a "
            "Pascal VOC folder"
        )
    if config.test:
        open_test_set(config.test, known=source.classes)  # fail now rather than after the training
    target = _open_target(config, source) if config.adapts or config.adabn else None
    if target is not None and same_images(source, target) and rank() == 0:
        print(
            "warning: --source and --target share images, so there is no domain to adapt to; is "
            "that intended?",
            file=sys.stderr,
        )
    return source, target


def _open_target(config: TrainConfig, source: Dataset) -> Dataset:
    """The target images: without labels but for the oracle, and but for the pseudo-labels that the
    user brings."""
    if config.method == "oracle":
        target = open_dataset(
            *config.target, classes=source.classes, drop_invalid=config.drop_invalid
        )
        if not target.labelled:
            raise UserError(
                f"--target {config.target[0]}: holds no labels, which --method oracle "
                "needs; use --method teacher"
            )
        return target
    target = open_images(*config.target, drop_invalid=config.drop_invalid)
    if config.pseudo_labels is None:
        return target
    return with_pseudo_labels(target, config.pseudo_labels, source, config.pseudo_threshold)


def make_batches(config: TrainConfig, source: Dataset, target: Dataset | None) -> Batches:
    """The batches of every iteration, this process's share of them; without target images where
    ``target`` is None."""
    preset, detector = config.augmentation, config.detector
    augment = Augmentation(
        detector.image_size, detector.max_size, scale=preset.scale_jitter, strong=preset.strong
    )
    view = augment
    if config.haze_augment:
        augment = replace(augment, haze=HazeAugment(config.haze_augment, source.classes))
    # the student's view is harder than the teacher's, also where the preset is mild
    if config.method == "teacher":
        dehaze = None if config.teacher_dehaze == "none" else Dehazer(config.teacher_dehaze)
        view = replace(view, strong=True, weak=True, dehaze=dehaze, hide=HIDE)
    return Batches(
        source,
        target,
        int(config.batch or 0) // config.accumulate,
        int(config.target_batch or 0) // config.accumulate if target else 0,
        config.seed,
        augment,
        # for `grl` the same for both domains: otherwise the classifier would learn the augmentation
        view,
        rank(),
        world_size(),
        target_labels=config.method == "oracle" or config.pseudo_labels is not None,
    )


def loading_processes(config: TrainConfig, device: torch.device) -> int:
    """Loading processes: one keeps up with a CPU; a GPU gets this process's part of the cores, up
    to eight."""
    if config.workers is not None:
        return config.workers
    return 1 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 1) // world_size()))


def fingerprint(source: Dataset, target: Dataset | None) -> dict[str, Any]:
    """Tells on resume whether the images, their order or the source's classes changed."""
    names = "\n".join(
        str(p) for data in (source, target) if data for p in (*data.paths, "")
    ) + "\n".join(source.classes)
    return {
        "source_images": len(source),
        "target_images": len(target) if target else 0,
        "names": hashlib.sha256(names.encode()).hexdigest(),
    }
