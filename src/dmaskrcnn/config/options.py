"""The options of every training, whatever its method: fields that are flags, YAML keys and Python
keywords by one name.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from dmaskrcnn.detector.config import DetectorConfig

# where tyro's own words about a default would say less
Paths = Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="")]
Preset = Literal["cpu", "mobile", "default", "v2", "paper", "demo"]


@dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, for how long. The values below are those of the preset `default`;
    nothing is checked before the method is known (`TrainConfig`)."""

    source: Annotated[Paths, arg(help_behavior_hint="(required)")] = ()
    """Labelled clear images: COCO JSON, YOLO (data.yaml, data.yaml:val), Pascal VOC, CVAT, labelme
    (docs/data.md); several are joined by class name."""
    target: Annotated[Paths, arg(help_behavior_hint="(required, but for source)")] = ()
    """Unlabelled hazy images: folders, or videos, of which frames are taken. Annotations beside
    them are never read, except by `oracle`, which needs them."""
    target_every: float = 1.0
    """Of a video as target, seconds between two frames; those that look like one before are left
    out. They are kept in OUT/frames."""
    test: Paths = ()
    """Labelled images to score on once training has ended; they take no part in it and choose
    nothing."""
    images: Annotated[
        tuple[Path, ...],
        arg(metavar="DIR ...", help_behavior_hint="(default: where the labels lie)"),
    ] = ()
    """Folders of the pictures that a COCO JSON or CVAT's XML names, where they lie elsewhere."""
    groups: Annotated[
        str,
        arg(
            metavar="HOW", help_behavior_hint="(default: each by itself, identical files together)"
        ),
    ] = ""
    """Images of --test that are not independent, as frames of one video: `none`, `folder`,
    `similar`, a .csv or .json file, or a regular expression (docs/evaluation.md)."""
    method: str = "teacher"
    """The way to train: the name of a file in `dmaskrcnn/methods`. Where none is named, the one
    that the evidence favours, with the settings of `dmaskrcnn adapt`."""
    preset: Preset = "default"
    """Architecture and schedule that fit together; see docs/training.md for the table."""
    classes: Annotated[
        tuple[str, ...],
        arg(metavar="CLASS ...", help_behavior_hint="(default: all of the source's)"),
    ] = ()
    """Class names to learn, in this order."""
    weights: str = "coco"
    """Start: `coco`, `imagenet`, `scratch`, a run folder, or a local .safetensors/.pth file
    (backbone or whole detector)."""
    out: Path = Path("runs")
    """Folder of the run folders."""
    name: Annotated[str, arg(help_behavior_hint="(default: the method)")] = ""
    """The run folder is OUT/NAME-N."""

    iterations: int = 20_000
    """Length of the schedule in optimiser steps; 0 trains nothing. `dmaskrcnn adapt` goes by
    --minutes unless this is given."""
    minutes: Annotated[float, arg(help_behavior_hint="")] = 0.0
    """Length of the schedule in minutes instead: the learning rate follows the clock, and training
    ends on time. So does `dmaskrcnn adapt` by itself: 40 minutes on a CPU, 7 on a GPU."""
    batch: Annotated[int | Literal["auto"], arg(metavar="INT|auto")] = 4
    """Source images per optimiser step, over all processes and accumulation steps. `auto` measures
    what fits the memory, and how many are worth it."""
    target_batch: Annotated[int, arg(help_behavior_hint="(default: as many as source images)")] = 0
    """Target images per optimiser step."""
    accumulate: int = 1
    """Forward and backward passes per optimiser step: raise it when memory runs out."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum 0.9, or AdamW."""
    lr: float = 5e-3
    """Learning rate of the detector."""
    weight_decay: float = 1e-4
    """Weight decay (not on biases and norms)."""
    clip: float = 5.0
    """Largest norm of the detector's gradient."""
    warmup: int = 100
    """Iterations over which the learning rate rises to its value, at the start of each phase that
    trains the detector first."""
    ema: float = 0.999
    """Decay of the exponential moving average of the weights, which is what is saved and evaluated;
    0 turns it off. Where the start is no detector yet, the decay after n steps is (1 + n) /
    (10 + n), up to this; from a trained one with --minutes likewise, but at least 0.98. From a
    trained one with --iterations it is this from the first step on, by default what that gives for
    all of them, up to the preset's."""
    classifier_lr: float = 1.0
    """Learning rate of the domain classifier, as a factor on the detector's."""
    classifier_clip: float = 1.0
    """Largest norm of the domain classifier's gradient."""

    scale_jitter: Annotated[tuple[float, float], arg(metavar="MIN MAX")] = (0.8, 1.25)
    """Smallest and largest factor on the size of a training image."""
    multi_scale: Annotated[tuple[float, float], arg(metavar="MIN MAX")] = (1.0, 1.0)
    """Smallest and largest factor on --image-size, drawn anew for each batch: a detector that can
    be read at several sizes."""
    read_size: Annotated[int, arg(help_behavior_hint="(default: --image-size)")] = 0
    """Short side in pixels at which what is saved reads pictures; small, far objects are found at a
    larger size than it trained at."""
    mosaic: float = 0.0
    """Probability that a training image shares its place with three others, all of them smaller:
    scenes of many, small objects where the source shows close-ups."""
    strong_augment: bool = True
    """Change colours and blur training images."""
    haze_augment: float = 0.0
    """Probability that a source image is put behind synthetic haze, random in strength and colour
    (docs/haze.md)."""
    adabn: float = 0.0
    """How far, from 0 to 1, to move the backbone's norms towards the statistics of the target
    images once training has ended (AdaBN). Also for `source` with --target, and for a detector that
    needs no training (--iterations 0)."""
    drop_invalid: bool = False
    """Leave out annotations that are wrong (zero area, outside the image, ...) instead of stopping
    at the first."""
    orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where the boxes of labelled pictures with an EXIF rotation lie: in the picture turned
    upright, or as stored; `auto` goes by the size that the annotations state."""

    max_pixels: float = 100.0
    """Largest picture that is decoded, in megapixels; memory grows with it."""

    seed: int = 0
    """Seed of everything random; on a CPU the same seed gives the same bits, where --iterations
    tell the length."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """`auto`: bfloat16 for backbone and heads where the hardware multiplies it, float32
    elsewhere."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`."""
    workers: Annotated[int, arg(help_behavior_hint="(default: 1; with a GPU up to 16)")] = -1
    """Processes that load images; 0 loads in the training process."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the extra `tensorboard`)."""

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    """The architecture."""

    @property
    def sources(self) -> int:
        """Source images per optimiser step; 0 while ``batch`` is still to be measured."""
        return 0 if self.batch == "auto" else self.batch
