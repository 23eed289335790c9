"""The architecture of a detector. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_type_hints

from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import check_share, convert

# Beyond these a mistake is likelier than a use, and the memory would be gone before anybody knew.
MOST_WEIGHTS = 1_000_000_000  # 4 GB; the largest preset (ResNet-101) has 63 million
MOST_PIXELS = 100_000_000  # of the network's input; the paper's 800 x 1333 are one million

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
    heads: Literal["plain", "deep"] = "plain"
    """Heads of the papers, or the deeper, normalised ones of torchvision's Mask R-CNN v2."""
    pyramid: Literal["fine", "coarse"] = "fine"
    """`fine`: P2-P6; `coarse`: only the two maps of stride 32 and one of 64 of torchvision's Faster
    R-CNN on MobileNet V3, which is fast and sees no small objects."""
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """One anchor size per level P2-P6 (in a coarse pyramid all of them on each), in pixels of the
    network's input; each in three aspect ratios."""
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
        for name in (
            *("fpn_channels", "image_size", "max_size", "box_head_width", "mask_head_layers"),
            *("anchor_sizes", "anchors_sampled", "rois_sampled", "pre_nms", "post_nms"),
            "max_detections",
        ):
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,)) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        check_share(self, "rois_positive", "box_nms", "min_score")
        if self.pyramid == "coarse" and self.backbone != "mobilenet_v3_large":
            raise UserError(
                f"--pyramid coarse is of mobilenet_v3_large, not {self.backbone}: change "
                "--backbone, or leave it out"
            )
        if self.image_size > self.max_size:
            raise UserError(
                f"detector.image_size {self.image_size} is larger than max_size {self.max_size}: "
                "raise --max-size or lower --image-size"
            )
        if self.image_size * self.max_size > MOST_PIXELS:
            raise UserError(
                f"--image-size {self.image_size} with --max-size {self.max_size} is more than "
                f"{MOST_PIXELS:,} pixels; lower one of them"
            )
        self.check_weights(1)

    def anchors_of(self, maps: int) -> tuple[tuple[int, ...], ...]:
        """The sizes of anchors on each of so many maps, finest first."""
        if self.pyramid == "coarse":
            return (self.anchor_sizes,) * maps
        return tuple((size,) for size in self.anchor_sizes[:maps])

    def at_size(self, image_size: int) -> DetectorConfig:
        """The same at another ``image_size`` in pixels, ``max_size`` in proportion; 0: as it is.
        Raises UserError for a size that is out of range."""
        if image_size == 0:
            return self
        longest = round(image_size * self.max_size / self.image_size)
        if image_size < 1 or image_size * longest > MOST_PIXELS:
            raise UserError(
                f"--image-size {image_size}: must be at least 1, and the network's input "
                f"({image_size} x {longest} px here) at most {MOST_PIXELS:,} pixels"
            )
        return replace(self, image_size=image_size, max_size=longest)

    def check_weights(self, classes: int) -> None:
        """Raises UserError where pyramid and heads for so many classes have more than
        `MOST_WEIGHTS`: before they are built."""
        width, box = self.fpn_channels, self.box_head_width
        # 3x3 convolutions: four of the pyramid, one of the RPN, those of the mask head
        weights = 9 * width**2 * (5 + self.mask_head_layers) + box * (49 * width + box)
        weights += (classes + 1) * (5 * box + width)
        if weights > MOST_WEIGHTS:
            raise UserError(
                f"--fpn-channels {width}, --box-head-width {box}, --mask-head-layers "
                f"{self.mask_head_layers} with {classes} classes make {weights:,} weights, more "
                f"than {MOST_WEIGHTS:,}; lower them"
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
        kinds = get_type_hints(cls)
        try:
            return cls(**{name: convert(value, kinds[name]) for name, value in values.items()})
        except ValueError as error:
            raise UserError(f"detector config: {error}") from error
