"""The flags that several verbs share, each with its help. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Images = Positional[
    Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required)")]
]
Runs = Annotated[tuple[Path, ...], arg(metavar="RUN ...", help_behavior_hint="(required)")]
Source = Annotated[
    tuple[Path, ...],
    arg(metavar="PATH ...", help="Labelled clear images: COCO JSON files, Pascal VOC folders."),
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
        help="The labelled test set: a COCO JSON file or a Pascal VOC folder.",
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
Preset = Literal["cpu", "default", "paper", "demo"]
Bootstrap = Annotated[int, arg(help="Resamples of the images behind the intervals.")]
BatchSize = Annotated[int, arg(help="Images per forward pass.")]
Device = Annotated[str, arg(help="`auto`, `cpu`, `cuda`, `cuda:1`.")]
NetworkWeights = Annotated[Path | None, arg(help_behavior_hint="(default: the project's own)")]
