"""Architectures and training defaults that fit together for one kind of machine. Imports no
torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dmaskrcnn.config.labelling import SELF
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.detector.config import DetectorConfig

# What one or two hours of two cores are enough for.
ON_A_CPU = TrainOptions(
    iterations=3_000, optimizer="adamw", lr=3e-4, ema=0.998, scale_jitter=(0.7, 1.3)
)

# Complete sets of options; every value can be overridden by the flag of its name.
PRESETS: dict[str, TrainOptions] = {
    # As close to the original as torchvision allows (arXiv 1807.00202 and its released code).
    "paper": TrainOptions(
        preset="paper",
        detector=DetectorConfig(
            backbone="resnet101",
            image_size=800,
            max_size=1024,
            rois_sampled=200,
            rois_positive=0.33,
            box_nms=0.3,
            trainable_layers=5,
        ),
        weights="imagenet",
        iterations=75_000,
        batch=1,
        lr=1e-3,
        ema=0.0,
        scale_jitter=(1.0, 1.0),
        strong_augment=False,
    ),
    "default": TrainOptions(),
    # Ten times the images per second of `default` on two cores: a narrow network, small images, few
    # proposals.
    "cpu": replace(
        ON_A_CPU,
        preset="cpu",
        detector=DetectorConfig(
            backbone="resnet18",
            fpn_channels=128,
            box_head_width=512,
            mask_head_layers=2,
            image_size=320,
            max_size=640,
            anchor_sizes=(16, 32, 64, 128, 256),
            anchors_sampled=128,
            rois_sampled=64,
            pre_nms=(300, 300),
            post_nms=(200, 200),
            trainable_layers=3,
        ),
        weights="imagenet",
    ),
    # torchvision's Mask R-CNN v2: nine points of box AP on COCO above `default`, and slower.
    "v2": TrainOptions(preset="v2", detector=DetectorConfig(heads="deep")),
    # A start that knows COCO for a CPU: torchvision's Faster R-CNN on MobileNet V3, with masks.
    "mobile": replace(
        ON_A_CPU,
        preset="mobile",
        detector=DetectorConfig(
            backbone="mobilenet_v3_large",
            pyramid="coarse",
            mask_head_layers=2,
            image_size=320,
            max_size=640,
            rois_sampled=64,
            anchors_sampled=128,
            pre_nms=(300, 150),
            post_nms=(200, 150),
        ),
    ),
    # For the rendered scenes of `dmaskrcnn demo`: learns from scratch in some minutes on two cores.
    "demo": TrainOptions(
        preset="demo",
        detector=DetectorConfig(
            backbone="resnet18",
            fpn_channels=64,
            box_head_width=256,
            mask_head_layers=2,
            image_size=160,
            max_size=224,
            anchor_sizes=(12, 24, 48, 96, 192),
            anchors_sampled=128,
            rois_sampled=64,
            pre_nms=(200, 200),
            post_nms=(150, 100),
        ),
        weights="scratch",
        iterations=400,
        batch=8,
        optimizer="adamw",
        lr=1e-3,
        ema=0.99,
        scale_jitter=(0.9, 1.1),
        strong_augment=False,
    ),
}


# What `dmaskrcnn adapt` trains: the fields of the configuration that the benchmark favours
# (docs/results.md).
BEST: dict[str, Any] = {
    "method": "teacher",
    "labeller": SELF,
    "haze_augment": 0.5,
    "teacher_dehaze": "dark-channel",
    "mosaic": 0.5,
}
ADAPT = BEST | {"name": "adapt"}
# Minutes that it trains by itself, by the kind of the device; labelling adds about two fifths at
# most, so that it is done within an hour on a CPU and within ten minutes on a GPU.
ADAPT_MINUTES = {"cpu": 40.0, "cuda": 7.0}
