"""The architecture of a detector. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from dmaskrcnn.errors import UserError

Backbone = Literal[
    "resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_large"
]


@dataclass(frozen=True)
class DetectorConfig:
    """The architecture of a Mask R-CNN: everything that is needed to build it again, besides its
    weights."""

    backbone: Backbone = "resnet50"
    """The convolutional network below the FPN."""
    fpn_channels: int = 256
    """Channels of every FPN level and of the RPN and mask heads."""
    box_head_width: int = 1024
    """Width of the two fully connected layers of the box head."""
    mask_head_layers: int = 4
    """3x3 convolutions of the mask head."""
    image_size: int = 800
    """Short side of the network's input in pixels."""
    max_size: int = 1333
    """Longest side of the network's input in pixels."""
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """One anchor size per level P2-P6, in pixels of the network's input; each in three aspect
    ratios."""
    anchors_sampled: int = 256
    """Anchors per image that enter the RPN's loss, at most half of them positive."""
    rois_sampled: int = 512
    """RoIs per image that enter the losses of the heads."""
    rois_positive: float = 0.25
    """Largest share of positives among the sampled RoIs."""
    pre_nms: tuple[int, int] = (2000, 1000)
    """Proposals per level before NMS, in training and at test time."""
    post_nms: tuple[int, int] = (2000, 1000)
    """Proposals per image after NMS, in training and at test time."""
    box_nms: float = 0.5
    """IoU above which the lower-scoring of two detections of a class is dropped."""
    min_score: float = 0.05
    """Detections below this score are not returned (`evaluate` counts lower ones, too)."""
    max_detections: int = 100
    """Detections per image."""
    trainable_layers: int = 3
    """Backbone stages that train, counted from the top; 5 means all. Ignored when trained from
    scratch (all train)."""
    norm: Literal["frozen", "batch"] = "frozen"
    """BatchNorm with frozen statistics (fine-tuning), or ordinary BatchNorm (training from
    scratch)."""

    def __post_init__(self) -> None:
        if len(self.anchor_sizes) != 5:
            raise UserError(
                "detector.anchor_sizes: needs one size for each of P2-P6 (5 in all), "
                f"got {self.anchor_sizes}"
            )
        for name in ("fpn_channels", "image_size"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}"
                )
        if self.image_size > self.max_size:
            raise UserError(
                f"detector.image_size {self.image_size} is larger than max_size {self.max_size}: "
                "raise --max-size or lower --image-size"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DetectorConfig:
        """The inverse of ``dataclasses.asdict``, also after JSON or YAML turned its tuples into
        lists."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(
                f"detector config: unknown field {unknown[0]!r}; known are "
                f"{', '.join(sorted(known))}"
            )
        return cls(**with_tuples(values))


def with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON and YAML know lists only."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
