"""The verbs whose flags are the options of a training (see `training`), and what they may lead to
instead. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Adapt:
    """Train on labelled clear images, adapt to unlabelled hazy ones: the method that the evidence
    favours, nothing to tune.

    A mean teacher that looks at dehazed pictures, on a source in synthetic haze, and a second round
    with what the first one sees in larger views: `dmaskrcnn train` with these defaults, and with
    the preset and the time that fit the machine: `default` and 7 minutes with a GPU, `cpu` and 40
    without, to which labelling adds some two fifths at most. The values shown are those of the
    preset `default`: try `--preset cpu --help`.
    """


@dataclass
class Train:
    """Train a detector on labelled clear images and adapt it to unlabelled hazy ones: any method;
    without `--method` that of `dmaskrcnn adapt`, without `--preset` the one that fits the machine.

    The defaults shown are those that the other words lead to: try `--preset cpu --help`. Under
    torchrun several processes share the work.
    """


@dataclass
class Resume:
    """Continue an interrupted run from its last checkpoint."""

    resume: Path
    """The run folder."""
