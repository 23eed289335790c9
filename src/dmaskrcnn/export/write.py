"""Writes a trained detector as a folder that runs without torch, and compares it with the original
before calling it done.

    dmaskrcnn export RUN --format openvino --out exported

The folder: ``model.onnx``, or ``model.xml`` and ``model.bin``; ``model.json`` (see
`dmaskrcnn.runtime.description`), which is marked incomplete until the comparison is passed; with
dehazing inside also ``dehaze.onnx`` (``.xml``, ``.bin``). Resizing the picture and pasting the
masks into it lie outside the model, in `dmaskrcnn.runtime`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dmaskrcnn.data.image import decode_pixels
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import evaluate
from dmaskrcnn.evaluation.labelled import TestSet
from dmaskrcnn.export.agreement import agree
from dmaskrcnn.export.check import SURE, compare
from dmaskrcnn.export.dehazing import DehazeGraph
from dmaskrcnn.export.graph import DetectorGraph
from dmaskrcnn.export.quantise import feed_of, quantise_onnx, quantise_openvino
from dmaskrcnn.export.tracing import versions, write_onnx, write_openvino
from dmaskrcnn.files import file_digest
from dmaskrcnn.output_folder import OutputFolder
from dmaskrcnn.run import Run
from dmaskrcnn.runtime.description import INDEX, SUFFIXES, Description
from dmaskrcnn.runtime.exported import ExportedDetector, resized
from dmaskrcnn.runtime.sessions import needed
from dmaskrcnn.version import __version__

Pixels = NDArray[np.uint8]
Format = Literal["onnx", "openvino"]
HELD = {"voc/AP50": "AP50", "mask/AP50": "the masks' AP50"}  # what int8 may not lose
PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}
INPUTS = ("image", "box_score", "mask_score")
OUTPUTS = ("boxes", "labels", "scores", "masks")
OPEN_SIZES = {
    "image": {0: "height", 1: "width"},
    **{name: {0: "objects"} for name in ("boxes", "labels", "scores")},
    "masks": {0: "masks"},
}


@dataclass(frozen=True)
class Quantisation:
    """How to make int8.

    Attributes:
        pictures: files to calibrate with.
        test: labelled pictures to state the average precision on; None: none.
        allow_loss: the largest loss that is no error: of AP50 (VOC, and of masks) on ``test``, or
            where there is none, of the share of objects.
    """

    pictures: Sequence[Path]
    test: TestSet | None = None
    allow_loss: float = 0.02


def export_detector(
    run: Run,
    out: Path,
    pictures: Sequence[Pixels],
    *,
    runtime: Format = "onnx",
    dehaze: str = "none",
    int8: Quantisation | None = None,
    say: Callable[[str], object] = print,
) -> Path:
    """Write, compare, and only then mark complete.

    Args:
        run: a run folder.
        out: the folder to write to.
        pictures: uint8 ``(H, W, 3)``, RGB, on which both must agree; at least one.
        runtime: who will run it.
        dehaze: a method that goes into the export, or ``none``.
        int8: quantise, after the comparison in float32.
        say: gets each line of what was compared.

    Returns:
        ``out``.

    Raises:
        UserError: weights that are not finite, files that cannot be written, a package that is not
        installed, or an export that does not agree.
    """
    for name in (*PACKAGES[runtime], *(["nncf"] if int8 else [])):
        needed(name)  # before any work
    detector = Detector.load(run.path, "cpu", "float32", run.image_size)
    check_finite(detector, run)
    steps = {"dehaze": DehazeGraph(dehaze)} if dehaze != "none" else {}
    names = [f"{stem}{s}" for stem in ("model", *steps) for s in SUFFIXES[runtime]]
    output = OutputFolder(out, "export", INDEX)
    files = output.claim(map(Path, names), rename=False)
    content: dict[str, Any] = {
        "runtime": runtime,
        "precision": "int8" if int8 else "float32",
        "classes": list(detector.classes),
        "detector": asdict(detector.config),
        "dehaze": dehaze,
        "made_of": f"{run}: {run.weights_said or 'weights of unknown training'}",
        "made_with": {"dmaskrcnn": __version__}
        | versions("torch", "torchvision", "onnx", "onnxruntime", "openvino", "nncf"),
    }
    output.begin(content)
    complete = False
    try:
        with tempfile.TemporaryDirectory(prefix="dmaskrcnn-export-") as scratch:
            made = Path(scratch)
            write_detector(detector, made / "model.onnx", pictures[0])
            for stem, graph in steps.items():
                graph.write(made / f"{stem}.onnx", pictures[0])
            if runtime == "openvino":
                for stem in ("model", *steps):
                    write_openvino(made / f"{stem}.onnx", made / f"{stem}.xml")
            exported = _opened(made, content, names)
            content["compared"] = compare(detector, exported, pictures, steps.get("dehaze"), say)
            if int8:
                content["int8"] = _quantised(made, exported, content, names, int8, say)
            for file in files:
                source = made / file.name
                output.write(file, lambda path, source=source: shutil.copyfile(source, path))
        content["digests"] = {file.name: file_digest(file) for file in files}
        complete = True
    finally:
        output.end(content, complete)
    return out


def check_finite(detector: Detector, run: Run) -> None:
    """Raises UserError where a weight is NaN or infinite."""
    for name, value in detector.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UserError(
                f"{run.path / 'model.safetensors'}: {name} holds values that are not finite; the "
                "training diverged: export another run"
            )


def write_detector(detector: Detector, path: Path, picture: Pixels) -> None:
    """The ONNX file of a detector; the picture is what the tracer sees, and any size runs."""
    example = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    example = detector.resize(example).permute(1, 2, 0).contiguous()
    arguments = example, torch.tensor(detector.config.min_score), torch.tensor(0.0)
    write_onnx(DetectorGraph(detector), arguments, path, INPUTS, OUTPUTS, OPEN_SIZES)


def _opened(folder: Path, content: dict[str, Any], names: Sequence[str]) -> ExportedDetector:
    """The detector of a folder that has no ``model.json`` yet."""
    said = {key: content[key] for key in ("runtime", "precision", "dehaze", "made_of")}
    digests = {name: file_digest(folder / name) for name in names}
    config = DetectorConfig.from_dict(content["detector"])
    known = {"classes": tuple(content["classes"]), "config": config, "digests": digests}
    return ExportedDetector(Description(folder, **known, **said))


def _quantised(
    made: Path,
    exported: ExportedDetector,
    content: dict[str, Any],
    names: Sequence[str],
    int8: Quantisation,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Replaces the model by its quantisation, and states what that costs."""
    inside = made / "int8"
    inside.mkdir()
    feeds = [
        feed_of(resized(image, exported.size_of(*image.shape[:2])), exported.config.min_score)
        for image in map(exported.dehazed, map(decode_pixels, int8.pictures))
    ]
    runtime = content["runtime"]
    quantise = quantise_openvino if runtime == "openvino" else quantise_onnx
    name = names[0]
    quantise(made / name, feeds, inside / name)
    for other in names:
        if not (inside / other).exists():
            shutil.copyfile(made / other, inside / other)
    smaller = _opened(inside, content, names)
    say(f"float32 and int8 look at the {len(feeds)} pictures of --calibrate")
    pictures = (decode_pixels(path) for path in int8.pictures)
    found = agree((exported.predict(p, SURE), smaller.predict(p, SURE / 2)) for p in pictures)
    found.added = 0  # of lower scores
    say(f"int8 beside float32, scores of {SURE:g} and more, found again with half of that: {found}")
    result: dict[str, Any] = {"calibrated_on": len(feeds), "agreement": asdict(found)}
    if int8.test is None:
        _check_loss(
            1 - found.kept,
            "of the objects are lost; say on labelled pictures what it "
            "costs, with --test, or allow it",
            int8.allow_loss,
        )
    else:
        scores = [evaluate(d, int8.test, bootstrap=0) for d in (exported, smaller)]
        for metric in ("voc/AP50", "box/AP", "mask/AP50"):
            if metric in scores[0].metrics:
                before, after = (s[metric].value for s in scores)
                result[metric] = [before, after]
                say(f"{metric}: float32 {100 * before:.1f}, int8 {100 * after:.1f}")
        for metric, name in HELD.items():
            if metric in result:
                before, after = result[metric]
                said = f"of {name} are lost on --test; allow it"
                _check_loss(before - after, said, int8.allow_loss)
    for name in names:
        shutil.copyfile(inside / name, made / name)
    return result


def _check_loss(loss: float, what: str, most: float) -> None:
    if not loss <= most:  # NaN, too
        raise UserError(
            f"--int8: {100 * loss:.1f} % {what} with --allow-loss {np.ceil(1000 * loss) / 1000:g} "
            f"(now {most:g}), or leave out --int8"
        )
