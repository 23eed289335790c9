"""The flags that several verbs share, each with its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.data.splits import without_size, without_split
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import flag

Images = Positional[
    Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required)")]
]
Runs = Annotated[tuple[Path, ...], arg(metavar="RUN ...", help_behavior_hint="(required)")]
Source = Annotated[
    tuple[Path, ...],
    arg(
        metavar="PATH ...",
        help="Labelled clear images: COCO, YOLO (data.yaml), "
        "Pascal VOC, CVAT, labelme; see docs/data.md.",
    ),
]
Target = Annotated[
    tuple[Path, ...],
    arg(
        metavar="PATH ...",
        help="Unlabelled hazy images: folders. Annotations beside them are never read.",
    ),
]
TestSet = Annotated[
    tuple[Path, ...],
    arg(
        metavar="PATH ...",
        help="The labelled test set: a COCO JSON file, data.yaml:test of YOLO, a folder of either, "
        "Pascal VOC, CVAT or labelme.",
    ),
]
Classes = Annotated[
    tuple[str, ...],
    arg(
        metavar="CLASS ...",
        help="Classes to score.",
        help_behavior_hint="(default: those all know)",
    ),
]
Groups = Annotated[
    str,
    arg(
        metavar="HOW",
        help="Test images that are not independent, as frames of one video, and are resampled "
        "together: `none`, `folder`, `similar` (they look nearly the same), a .csv or .json file "
        r"(picture, group), or a regular expression whose first (…) is the group: '(.+)_\d+'.",
        help_behavior_hint="(default: each by itself, identical files together)",
    ),
]
Orientation = Annotated[
    Literal["auto", "stored", "upright"],
    arg(
        help="Where the boxes of labelled pictures with an EXIF rotation lie: in the picture "
        "turned upright, or as stored; `auto` goes by the size that the annotations state."
    ),
]
BySize = Annotated[
    bool,
    arg(
        help="Also score small, medium and large objects by themselves: up to 32 x 32 px of the "
        "picture, up to 96 x 96, and above (COCO's sizes)."
    ),
]
Bootstrap = Annotated[int, arg(help="Resamples of the images behind the intervals.")]
BatchSize = Annotated[int, arg(help="Images per forward pass.")]
Device = Annotated[str, arg(help="`auto`, `cpu`, `cuda`, `cuda:1`.")]
StartWeights = Annotated[
    str | None,
    arg(
        help="Where all trainings start: `coco`, `imagenet`, `scratch`, a run folder, or a local "
        ".safetensors/.pth file. Where that is no trained detector, each seed trains one first.",
        help_behavior_hint="(default: the preset's)",
    ),
]
OURS = "(default: the project's own)"
MSCNNWeights = Annotated[
    Path | None, arg(help="Weights of MSCNN, see `dmaskrcnn dehaze`.", help_behavior_hint=OURS)
]
AODNetWeights = Annotated[
    Path | None, arg(help="Weights of AOD-Net, see `dmaskrcnn dehaze`.", help_behavior_hint=OURS)
]


def refuse(verb: Any, why: str, *names: str) -> None:
    """Raises UserError for the first of these flags of a verb with another value than its default,
    since it has no effect: ``why``, and what to do."""
    defaults = {field.name: field.default for field in fields(verb)}
    for name in names:
        if getattr(verb, name) != defaults[name]:
            said = f"no_{name}" if defaults[name] is True else name
            raise UserError(f"{flag(said)} has no use {why}")


@dataclass(kw_only=True)
class ReadsPictures:
    """What verbs share that decode pictures."""

    max_pixels: float = TrainOptions.max_pixels
    """Largest picture that is decoded, in megapixels; memory grows with it."""


@dataclass(kw_only=True)
class RunsDetectors(ReadsPictures):
    """What verbs share that let detectors predict."""

    image_size: Annotated[int, arg(help_behavior_hint="(default: the run's own)")] = 0
    """Short side in pixels at which the detector reads a picture: larger finds smaller objects, and
    takes longer. `RUN@480` says so for one run."""

    def __post_init__(self) -> None:
        if not self.image_size:
            return
        if self.image_size < 1:
            raise UserError(f"--image-size must be at least 1, got {self.image_size}")
        verb: Any = self
        ones = [name for name in ("run", "clear") if isinstance(getattr(self, name, None), Path)]
        named = [*(getattr(self, name) for name in ones), *getattr(self, "runs", ())]
        sized = [_sized(path, self.image_size) for path in named]
        if named and sized == named:
            why = "with results that were made, or runs with a size of their own: leave it out"
            refuse(self, why, "image_size")
        for name, path in zip(ones, sized, strict=False):
            setattr(verb, name, path)
        if named[len(ones) :]:
            verb.runs = tuple(sized[len(ones) :])


def _sized(path: Path, size: int) -> Path:
    """The run at that size; one that names its own, and predictions that were made, stay."""
    if without_size(path)[1] or without_split(path)[0].suffix == ".json":
        return path
    sized = Path(f"{path}@{size}")
    if sized.exists():  # which would be taken for the run
        raise UserError(f"{sized}: is in the way of {path} at --image-size {size}; rename it")
    return sized


@dataclass(kw_only=True)
class ReadsLabels(ReadsPictures):
    """What verbs share that open labelled data."""

    images: Annotated[
        tuple[Path, ...],
        arg(metavar="DIR ...", help_behavior_hint="(default: where the labels lie)"),
    ] = TrainOptions.images
    """Folders of the pictures that a COCO JSON or CVAT's XML names, where they lie elsewhere."""
