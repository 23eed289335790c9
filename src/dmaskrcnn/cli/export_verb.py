"""The flags of `dmaskrcnn export`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from dmaskrcnn.cli.flags import RunsDetectors
from dmaskrcnn.config.dehazers import DehazeMethod


@dataclass
class Export(RunsDetectors):
    """Write a trained detector for ONNX Runtime or OpenVINO, to run on machines without torch.

    It is compared with the run on real pictures before it is called done; `predict`, `evaluate` and
    `compare` take the folder like that of a run.
    """

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """A run folder."""
    out: Path
    """Folder for the model and model.json."""
    format: Literal["onnx", "openvino"] = "onnx"
    """Who runs it: ONNX Runtime, or OpenVINO (faster on Intel's processors)."""
    int8: bool = False
    """Quantise to 8 bits: smaller and faster, at some cost in precision, which is stated."""
    calibrate: Annotated[
        tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="(required by --int8)")
    ] = ()
    """Pictures of the target, without labels, to calibrate int8 with; up to 100 are used."""
    test: Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="")] = ()
    """The labelled test set on which int8 is scored beside float32."""
    allow_loss: float = 0.02
    """Loss of AP50 (0 to 1) on --test above which int8 is refused; without --test, of objects."""
    dehaze: Literal["none", DehazeMethod] = "none"
    """Dehazing that goes into the export, before the detector: aod-net, mscnn or mscnn-released."""
    compare: Annotated[
        tuple[Path, ...],
        arg(
            metavar="PATH ...",
            help_behavior_hint="(default: --calibrate, or the run's target or source, or scenes)",
        ),
    ] = ()
    """Pictures, or folders of them, on which both must agree; up to 8 are used."""
