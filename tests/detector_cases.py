"""A detector small enough to build in every test."""

from dmaskrcnn.detector.config import DetectorConfig

TINY = DetectorConfig(
    backbone="resnet18",
    fpn_channels=16,
    box_head_width=32,
    mask_head_layers=1,
    image_size=64,
    max_size=96,
    anchor_sizes=(8, 16, 32, 64, 128),
    pre_nms=(50, 50),
    post_nms=(20, 20),
)
