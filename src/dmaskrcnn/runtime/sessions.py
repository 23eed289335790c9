"""ONNX Runtime and OpenVINO behind one function: arrays by name in, a list of arrays out."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.extras import install_command

Run = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
PRECISIONS = {"float32": "f32", "bf16": "bf16", "int8": "f32"}


def needed(name: str) -> Any:
    """An optional package. Raises UserError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{name} is not installed: {install_command('export', name.removesuffix('runtime'))}, "
            f"or {name} alone"
        ) from error


def open_model(
    folder: Path, stem: str, runtime: str, precision: str, threads: int | None = None
) -> Run:
    """A function that runs a model.

    Args:
        folder: holds the model.
        stem: of its file's name.
        runtime: ``onnx`` or ``openvino``.
        precision: of the arithmetic: ``float32``, ``bf16`` (OpenVINO alone) or ``int8``.
        threads: processor cores to use; None: as many as the runtime thinks best.

    Raises:
        UserError: the runtime is not installed, or it cannot read the model.
    """
    opened = {"onnx": _open_onnx, "openvino": _open_openvino}[runtime]
    return opened(folder, stem, precision, threads)


def _open_onnx(folder: Path, stem: str, precision: str, threads: int | None) -> Run:
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads:
        options.intra_op_num_threads = threads
    file = folder / f"{stem}.onnx"
    try:
        session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # kinds of their own, of each version
        raise _unreadable(file, error) from error
    return lambda feed: session.run(None, dict(feed))


def _open_openvino(folder: Path, stem: str, precision: str, threads: int | None) -> Run:
    core = needed("openvino").Core()
    # OpenVINO takes bf16 by itself where the hardware has it
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision]}
    options["PERFORMANCE_HINT"] = "LATENCY"
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    file = folder / f"{stem}.xml"
    try:
        model = core.compile_model(core.read_model(file), "CPU", options)
    except Exception as error:
        raise _unreadable(file, error) from error
    alone, outputs = threading.Lock(), len(model.outputs)

    def run(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with alone:  # a model has one set of buffers
            found = model(dict(feed))
            return [np.array(found[i]) for i in range(outputs)]

    return run


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file}: cannot be loaded ({first_line(error)[:200]}); export again")
