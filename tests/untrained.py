"""The smallest detector, for tests that need one and no training."""

from __future__ import annotations

from dmaskrcnn.detector.config import DetectorConfig

UNTRAINED = DetectorConfig(
    backbone="resnet18",
    fpn_channels=16,
    box_head_width=16,
    mask_head_layers=1,
    image_size=64,
    max_size=96,
    max_detections=8,
)
