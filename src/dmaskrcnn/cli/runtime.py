"""`dmaskrcnn-runtime`, the command line of a machine without torch: exported detectors alone.

A verb is a dataclass and the function that takes it, in `_verbs`; neither may import torch.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from tyro.conf import subcommand

from dmaskrcnn.cli.arguments import parse
from dmaskrcnn.cli.ending import errors_in_one_line, termination_as_interrupt
from dmaskrcnn.cli.flags import ReadsPictures
from dmaskrcnn.cli.picture_verbs import Predict
from dmaskrcnn.cli.serve_verbs import Serve
from dmaskrcnn.cli.terminal import harmless_output, quiet_libraries
from dmaskrcnn.data.splits import without_size
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from dmaskrcnn.runtime.exported import ExportedDetector

PROGRAM = "dmaskrcnn-runtime"
_DESCRIPTION = "Run a detector that `dmaskrcnn export` wrote."


@dataclass
class Version:
    """Say which version this is, and which runtimes are installed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; ends like that of `dmaskrcnn`."""
    if arguments is None:
        quiet_libraries()
    words = list(sys.argv[1:] if arguments is None else arguments)
    with errors_in_one_line(PROGRAM), termination_as_interrupt(enabled=True):
        try:
            _dispatch(words)
        finally:
            sys.stdout.flush()


def _dispatch(words: Sequence[str]) -> None:
    verbs = _verbs()
    kinds = tuple(Annotated[kind, subcommand(name)] for name, (kind, _) in verbs.items())
    verb = parse(Union[kinds], words or ["--help"], PROGRAM, _DESCRIPTION)  # noqa: UP007
    with harmless_output():
        if isinstance(verb, ReadsPictures):
            from dmaskrcnn.data.image import set_max_pixels

            set_max_pixels(verb.max_pixels)
        next(function for kind, function in verbs.values() if isinstance(verb, kind))(verb)


def _verbs() -> dict[str, tuple[type, Callable[[Any], None]]]:
    return {
        "predict": (Predict, _predict),
        "serve": (Serve, _serve),
        "version": (Version, _version),
    }


def _predict(verb: Predict) -> None:
    from dmaskrcnn.cli.predicting import predict_verb

    for name in ("tiles", "cluster"):
        if getattr(verb, name):
            raise UserError(f"--{name}: needs `dmaskrcnn predict`; {PROGRAM} has no use for it")
    predict_verb(verb, lambda path, _: _load(path))


def _serve(verb: Serve) -> None:
    from dmaskrcnn.cli.serving import serve_verb

    serve_verb(verb, _opened)


def _opened(paths: Sequence[Path], device: str) -> dict[str, ExportedDetector]:
    """The exported detectors in these folders, by the folders' names."""
    if not paths:
        raise UserError("no export given; name one or more folders of dmaskrcnn export")
    names = [path.resolve().name for path in paths]
    if again := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{again[0]}: two folders of this name; rename one, as calls name them")
    return {name: _load(path) for name, path in zip(names, paths, strict=True)}


def _load(path: Path) -> ExportedDetector:
    from dmaskrcnn.runtime.exported import load

    folder, size = without_size(path)
    return load(folder, image_size=size)


def _version(verb: Version) -> None:
    from importlib.metadata import PackageNotFoundError, version

    from dmaskrcnn.version import __version__

    print(f"{PROGRAM} {__version__}")
    for name in ("onnxruntime", "openvino"):
        try:
            print(f"{name} {version(name)}")
        except PackageNotFoundError:
            print(f"{name} is not installed")
