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
from dmaskrcnn.data.image import set_max_pixels
from dmaskrcnn.distributed import rank, world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.haze.random_haze import HazeAugment


def open_data(config: TrainConfig) -> tuple[Dataset, Dataset | None]:
    """Source and target (None where there is no use for it). Raises UserError for what is missing
    or wrong, of --test too."""
    set_max_pixels(config.max_pixels)
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
    """The target images: without labels but for the oracle, and but for what the method itself
    brings."""
    if not config.settings.reads_target_labels:
        target = open_images(*config.target, drop_invalid=config.drop_invalid)
        return config.settings.label_target(target, source)
    target = open_dataset(*config.target, classes=source.classes, drop_invalid=config.drop_invalid)
    if not target.labelled:
        raise UserError(
            f"--target {config.target[0]}: holds no labels, which --method {config.method} needs; "
            "use a method that adapts without"
        )
    return target


def make_batches(config: TrainConfig, source: Dataset, target: Dataset | None) -> Batches:
    """The batches of every iteration, this process's share of them; without target images where
    ``target`` is None."""
    detector, method = config.detector, config.settings
    # the same for both domains: otherwise a domain classifier would learn the augmentation
    usual = Augmentation(
        detector.image_size,
        detector.max_size,
        scale=config.scale_jitter,
        strong=config.strong_augment,
    )
    haze = HazeAugment(config.haze_augment, source.classes) if config.haze_augment else None
    return Batches(
        source,
        target,
        config.batch // config.accumulate,
        config.targets // config.accumulate if target else 0,
        config.seed,
        method.source_view(replace(usual, haze=haze)),
        method.target_view(usual),
        rank(),
        world_size(),
        target_labels=method.keeps_target_labels,
    )


def loading_processes(config: TrainConfig, device: torch.device) -> int:
    """Loading processes: one keeps up with a CPU; a GPU gets this process's part of the cores, up
    to eight."""
    if config.workers >= 0:
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
        "names": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest(),
    }
