"""What a training reads: its data sets, opened and checked, and their batches with the augmentation
of its method."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch

from dmaskrcnn.config.labelling import SELF
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import (
    Augmentation,
    Batches,
    Dataset,
    describe_learnable,
    open_dataset,
    open_images,
    same_images,
)
from dmaskrcnn.data.coco_images import set_image_folders
from dmaskrcnn.data.image import set_max_pixels
from dmaskrcnn.data.loader import cores
from dmaskrcnn.data.readable import broken_headers, check_headers
from dmaskrcnn.distributed import rank, world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set, overlap
from dmaskrcnn.haze.random_haze import HazeAugment
from dmaskrcnn.training.target_labels import looked_at


def open_data(config: TrainConfig, folder: Path | None = None) -> tuple[Dataset, Dataset | None]:
    """Source and target (None where there is no use for it); ``folder`` is the run's, where it has
    labels of the target. Raises UserError for what is missing or wrong, of --test too."""
    set_max_pixels(config.max_pixels)
    set_image_folders(config.images)
    if not config.source:
        raise UserError(
            "--source is missing: give labelled images (a COCO JSON, a data.yaml, a folder)"
        )
    source = open_dataset(
        *config.source,
        classes=config.classes or None,
        drop_invalid=config.drop_invalid,
        orientation=config.orientation,
    )
    if not source.labelled:
        kind = next((f" ({note.message})" for note in source.notes), "")
        raise UserError(
            f"--source {config.source[0]}: holds images but no labels{kind}; give a COCO JSON, a "
            "data.yaml or a folder with labels"
        )
    source = check_headers(source, config.drop_invalid)
    learnable = describe_learnable(source)
    if config.trains and not learnable.per_class:
        why = "; ".join(learnable.warnings) or "no object at all"
        raise UserError(f"--source {config.source[0]}: {why}")
    test = None
    if config.test:  # what is wrong with it is said now rather than after the training
        known, groups, orientation = source.classes, config.groups, config.orientation
        test = open_test_set(config.test, (), known, groups, orientation).data
        if broken := broken_headers(test):
            raise UserError(f"--test: {next(iter(broken.values()))}")
    target = _open_target(config, source, folder) if config.adapts or config.adabn else None
    if target is not None and same_images(source, target) and rank() == 0:
        print(
            "warning: --source and --target share images, so there is no domain to adapt to; is "
            "that intended?",
            file=sys.stderr,
        )
    for name, data in (("--source", source), ("--target", target)):
        if test and data and rank() == 0 and (shared := overlap(data, test)):
            print(f"warning: --test: {shared.said(name)}", file=sys.stderr)
    return source, target


def _open_target(config: TrainConfig, source: Dataset, folder: Path | None) -> Dataset:
    """The target images: without labels but for the oracle, and but for what the method itself
    brings."""
    if not config.settings.reads_target_labels:
        target = open_images(*config.target, drop_invalid=config.drop_invalid)
        target = check_headers(target, config.drop_invalid)
        asks = config.settings.asks
        if folder and asks and asks.run == SELF:  # a second round, of the pictures that have labels
            target = looked_at(target, folder)
        return config.settings.label_target(target, source, folder)
    target = open_dataset(
        *config.target,
        classes=source.classes,
        drop_invalid=config.drop_invalid,
        orientation=config.orientation,
    )
    if not target.labelled:
        raise UserError(
            f"--target {config.target[0]}: holds no labels, which --method {config.method} needs; "
            "use a method that adapts without"
        )
    return check_headers(target, config.drop_invalid)


def make_batches(
    config: TrainConfig,
    source: Dataset,
    target: Dataset | None,
    gone: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> Batches:
    """The batches of every iteration, this process's share of them; without target images where
    ``target`` is None. ``gone``: see `Batches`."""
    detector, method = config.detector, config.settings
    # the same for both domains: otherwise a domain classifier would learn the augmentation
    usual = Augmentation(
        detector.image_size,
        detector.max_size,
        scale=config.scale_jitter,
        mosaic=config.mosaic,
        strong=config.strong_augment,
        sizes=config.multi_scale,
    )
    haze = HazeAugment(config.haze_augment, source.classes) if config.haze_augment else None
    return Batches(
        source,
        target,
        config.sources // config.accumulate,
        config.targets // config.accumulate if target else 0,
        config.seed,
        method.source_view(replace(usual, haze=haze)),
        method.target_view(usual),
        rank(),
        world_size(),
        target_labels=method.keeps_target_labels,
        gone=gone,
    )


def loading_processes(config: TrainConfig, device: torch.device) -> int:
    """Loading processes: one keeps up with a CPU; a GPU gets this process's part of the cores but
    one, which asks it for work, up to sixteen."""
    if config.workers >= 0:
        return config.workers
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes on this machine
    return 1 if device.type == "cpu" else max(1, min(16, cores() // here - 1))
