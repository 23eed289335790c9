"""The verbs of the command line as dataclasses: their fields are the flags. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Union

from tyro.conf import Positional, arg, subcommand

from dmaskrcnn.cli.cluster_flags import OnCluster
from dmaskrcnn.cli.export_verb import Export
from dmaskrcnn.cli.flags import (
    AODNetWeights,
    BatchSize,
    Bootstrap,
    BySize,
    Classes,
    Device,
    Groups,
    Images,
    MSCNNWeights,
    Orientation,
    ReadsLabels,
    ReadsPictures,
    Runs,
    RunsDetectors,
    Source,
    StartWeights,
    Target,
    TestSet,
)
from dmaskrcnn.cli.gauge_verb import Gauge
from dmaskrcnn.cli.label_verbs import Convert, Inspect
from dmaskrcnn.cli.picture_verbs import Inputs, Predict
from dmaskrcnn.cli.serve_verbs import App, Serve
from dmaskrcnn.cli.training_verbs import Adapt, Train
from dmaskrcnn.config.dehazers import DehazeMethod, DehazeNetwork
from dmaskrcnn.config.options import Preset


@dataclass
class Demo:
    """Do the main job on rendered street scenes, in 20 to 45 minutes on two CPU cores: train a
    clear-only baseline, DMask R-CNN and what `adapt` trains, compare them in haze."""

    out: Path = Path("runs")
    """Folder for the demo's folder."""
    seed: int = 0
    """Seed of the scenes and of the training."""


@dataclass
class Evaluate(RunsDetectors, ReadsLabels):
    """Score runs on labelled images: VOC AP50, COCO AP (boxes and masks) and the authors' metric,
    with 95 % intervals.

    With several runs, also the paired difference of each to the first. Predictions are kept as COCO
    results JSON.
    """

    runs: Positional[Runs]
    """Run folders, or COCO results JSON files of any detector."""
    data: TestSet
    classes: Classes = ()
    out: Annotated[
        Path | None, arg(help_behavior_hint="(default: evaluate-DATA in the run folder)")
    ] = None
    """Folder for predictions.json and scores.json. For a results JSON nothing is written unless
    this is given."""
    by_size: BySize = False
    groups: Groups = ""
    orientation: Orientation = "auto"
    batch_size: BatchSize = 4
    bootstrap: Bootstrap = 1000
    seed: int = 0
    """Seed of the resampling."""
    device: Device = "auto"


@dataclass
class Report(RunsDetectors, ReadsLabels):
    """Write one HTML page about runs: scores with intervals, curves, features and pictures. It
    needs no network.

    One folder of `compare` or `reproduce`, or training runs; these are scored if --data is given.
    """

    runs: Positional[Runs]
    """Run folders, the baseline first; COCO results JSON files of any detector; or the folder of
    one comparison."""
    data: Annotated[TestSet, arg(help_behavior_hint="(default: nothing is scored)")] = ()
    by_size: BySize = False
    groups: Groups = ""
    orientation: Orientation = "auto"
    source: Annotated[
        tuple[Path, ...],
        arg(metavar="PATH ...", help_behavior_hint="(default: the runs')"),
    ] = ()
    """Clear images whose features are compared with those of the target."""
    target: Annotated[
        tuple[Path, ...],
        arg(metavar="PATH ...", help_behavior_hint="(default: the runs')"),
    ] = ()
    """Hazy images. Annotations beside them are never read."""
    out: Annotated[
        Path | None,
        arg(help_behavior_hint="(default: report.html in the one folder, or here)"),
    ] = None
    """The .html file to write."""
    device: Device = "auto"


@dataclass
class Compare(RunsDetectors, ReadsLabels):
    """Score every run with every way to dehaze the test images before: tables, CSV and a report.

    Runs that differ only in their seed share a row, with intervals over images and seeds. Started
    again after an interruption or with more runs, only what is missing is computed.
    """

    runs: Runs
    """Run folders; without dehazing also COCO results JSON files. The first is what the others are
    compared with."""
    data: TestSet
    dehaze: tuple[Literal["none", DehazeMethod], ...] = ("none",)
    """What the test images go through before detection, each in turn."""
    out: Path = Path("compare")
    """Folder for comparison.md, .csv and .json, report.html, the dehazed images and the
    predictions."""
    classes: Classes = ()
    by_size: BySize = False
    groups: Groups = ""
    orientation: Orientation = "auto"
    bootstrap: Bootstrap = 1000
    mscnn_weights: MSCNNWeights = None
    aod_net_weights: AODNetWeights = None
    device: Device = "auto"


@dataclass
class Reproduce(ReadsLabels):
    """The table of the DMask R-CNN paper, from nothing, on your data: three trainings per seed,
    eight rows, the paper's numbers beside them.

    Repeat the command after an interruption: it goes on where it stopped.
    """

    source: Source
    target: Target
    test: Annotated[tuple[Path, ...], arg(metavar="PATH ...")]
    """Labelled hazy images, scored at the end; they take no part in training and choose nothing."""
    budget: float = 0.01
    """Length of each training, in units of the paper's 75,000 iterations."""
    seeds: Annotated[tuple[int, ...], arg(metavar="INT ...")] = (0, 1)
    """Seeds of the trainings: each trains all three models."""
    preset: Preset = "paper"
    """Architecture and schedule; those other than `paper` are smaller."""
    weights: StartWeights = None
    clear: Annotated[
        tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(default: none)")
    ] = ()
    """Labelled clear images, scored with the same runs: what adaptation costs in clear air."""
    drop_invalid: bool = False
    """Leave out annotations and pictures of source and target that are wrong, instead of stopping
    at the first."""
    out: Path = Path("reproduce")
    """Folder for everything: runs, dehazed images, comparison.md, .csv and .json, report.html."""
    groups: Groups = ""
    orientation: Orientation = "auto"
    bootstrap: Bootstrap = 1000
    mscnn_weights: MSCNNWeights = None
    aod_net_weights: AODNetWeights = None
    device: Device = "auto"


@dataclass
class Dehaze(OnCluster, ReadsPictures):
    """Remove haze from images, videos and folders of both; names and subfolders are kept.

    A network uses the project's own weights unless --weights names a .safetensors of train-dehazer.
    """

    images: Inputs
    """Images, videos, folders of them, or quoted patterns of images (`cams/*/2026*.jpg`)."""
    out: Path
    """Folder for the pictures and dehazed.json, videos and videos.json."""
    method: DehazeMethod = "dark-channel-robust"
    """The robust ones are for photographs of fog, the others as published; mscnn feeds the coarse
    map to the fine network, as in the paper; mscnn-released does not, as the authors' code."""
    weights: Path | None = None
    """Weights of the network, a .safetensors."""
    maps: bool = False
    """Also draw what the method found on the way: airlight, transmission, K."""
    ignore_rows: Annotated[
        tuple[float, float] | None,
        arg(metavar="TOP BOTTOM", help_behavior_hint="(default: bright bars burnt in by a camera)"),
    ] = None
    """Rows to leave as they are and not to look at, in px or shares of the height (0.05); 0 0 for
    none."""
    device: Device = "auto"


@dataclass
class Haze(OnCluster, ReadsLabels):
    """Put data sets and images behind haze of known visibility; labels stay, and each folder opens
    as a data set.

    Without depth maps, depth is estimated from the ground below the horizon and the annotated
    objects standing on it.
    """

    inputs: Images
    """Labels of any format, or their folders; folders of images, images."""
    visibility: Annotated[tuple[float, ...], arg(metavar="METRES ...")]
    """Meteorological visibilities, where 5 % of the contrast is left: a folder is made for each."""
    out: Path
    """Folder for visibility-METRES/, transmission-METRES/ and haze.json."""
    depth: Annotated[Path | None, arg(help_behavior_hint="(default: estimated)")] = None
    """Folder of depth maps named like the images: 16-bit PNG, or .npy/.npz with metres, along the
    camera's axis."""
    depth_scale: float = 0.001
    """Metres per unit of PNG depth maps (KITTI: 0.00390625)."""
    disparity: Annotated[Path | None, arg(help_behavior_hint="")] = None
    """Instead of --depth: folder of disparity maps, 16-bit PNG as in Cityscapes and KITTI, or
    .npy/.npz with px."""
    focal_baseline: Annotated[float | None, arg(help_behavior_hint="(required by --disparity)")] = (
        None
    )
    """Focal length in px times baseline in metres of the stereo camera (Cityscapes: 473)."""
    focal: Annotated[
        float | None, arg(help_behavior_hint="(default: the longer side of each image)")
    ] = None
    """Focal length in px, to estimate depth, and to get from depth along the axis to the line of
    sight; inf for maps that hold lines of sight."""
    airlight: Annotated[
        tuple[float, float, float] | None,
        arg(metavar="R G B", help_behavior_hint="(default: random, per image)"),
    ] = None
    """Colour of the haze, three numbers from 0 to 1."""
    inhomogeneity: float = 0.0
    """Standard deviation of the logarithm of the haze's density over an image; 0.3 is plainly
    visible."""
    drop_invalid: bool = False
    """Leave out annotations that are wrong instead of stopping at the first."""
    seed: int = 0
    """Seed of all that is random."""


@dataclass
class TrainDehazer(ReadsPictures):
    """Train MSCNN or AOD-Net, in minutes, on clear pictures behind synthetic haze."""

    out: Path
    """The .safetensors to write; a .json beside it says how it was made."""
    method: DehazeNetwork = "aod-net"
    """The network."""
    clear: tuple[Path, ...] = ()
    """Folders of clear photographs; by default, rendered street scenes alone."""
    scenes: int = 100
    """Rendered scenes to train on, with their true depth."""
    steps: int = 3000
    """Optimiser steps."""
    batch_size: int = 4
    """Pictures per step."""
    seed: int = 0
    """Seed of scenes, haze and initial weights."""
    device: Device = "auto"


Verbs = Union[  # noqa: UP007 (tyro reads the annotations of each member)
    Annotated[Demo, subcommand("demo")],
    Annotated[Adapt, subcommand("adapt")],
    Annotated[Train, subcommand("train")],
    Annotated[Evaluate, subcommand("evaluate")],
    Annotated[Compare, subcommand("compare")],
    Annotated[Reproduce, subcommand("reproduce")],
    Annotated[Report, subcommand("report")],
    Annotated[Predict, subcommand("predict")],
    Annotated[Inspect, subcommand("inspect")],
    Annotated[Gauge, subcommand("gauge")],
    Annotated[Serve, subcommand("serve")],
    Annotated[App, subcommand("app")],
    Annotated[Convert, subcommand("convert")],
    Annotated[Dehaze, subcommand("dehaze")],
    Annotated[Haze, subcommand("haze")],
    Annotated[TrainDehazer, subcommand("train-dehazer")],
    Annotated[Export, subcommand("export")],
]
