"""A graph written as ONNX, and as OpenVINO's own format."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dmaskrcnn.runtime.sessions import needed

OPSET = 18  # torch's tracing exporter writes up to 20; OpenVINO and ONNX Runtime read them all


def write_onnx(
    graph: nn.Module,
    example: Sequence[torch.Tensor],
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    open_sizes: Mapping[str, Mapping[int, str]],
) -> None:
    """Trace the graph with the example and write it.

    Args:
        graph: in evaluation mode.
        example: its arguments.
        path: the file.
        inputs: names of the arguments.
        outputs: names of the results.
        open_sizes: of inputs and outputs, the axes whose size is not the example's but any.

    Raises:
        UserError: the package onnx is not installed.
    """
    needed("onnx")
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer is deprecated, but its successor fails in NMS (pytorch/vision #9321); what it
        # says of constants is true of those that are constants here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            tuple(example),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in open_sizes.items()},
        )


def write_openvino(onnx: Path, path: Path) -> None:
    """Convert an ONNX file to OpenVINO's ``.xml`` and the ``.bin`` beside it, in float32. Raises
    UserError where OpenVINO is not installed."""
    openvino = needed("openvino")
    openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)


def versions(*names: str) -> dict[str, Any]:
    """Of the packages that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
