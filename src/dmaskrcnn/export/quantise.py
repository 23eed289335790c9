"""int8 by NNCF's quantisation after training, calibrated on pictures without labels.

What is quantised: the backbone with its pyramid, and of the heads the convolutions and fully
connected layers before the last ones. What stays float32: everything that makes boxes or chooses
among them (anchors, decoding, NMS, RoIAlign), and the layers that give objectness, scores, box
deltas and masks. In an earlier trial, a detector quantised as a whole kept half of its objects.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.runtime.sessions import needed

# The names that tracing gives to the layers: of the backbone, the RPN's convolution, the box head's
# two layers and the mask head's convolutions.
QUANTISED = ("/backbone/", "/head/conv/", "/box_head/", "/mask_head/")
NO_LAYERS = ("Parameter", "Constant", "Result")


def quantise_openvino(model: Path, feeds: Sequence[dict[str, NDArray[Any]]], path: Path) -> None:
    """Write the ``.xml`` of an OpenVINO model in int8.

    Args:
        model: the ``.xml`` in float32.
        feeds: inputs to calibrate with.
        path: the file to write.

    Raises:
        UserError: OpenVINO or NNCF are not installed.
    """
    openvino = needed("openvino")
    graph = openvino.Core().read_model(model)
    names = [o.get_friendly_name() for o in graph.get_ops() if o.get_type_name() not in NO_LAYERS]
    openvino.save_model(_quantise(graph, names, feeds), path, compress_to_fp16=False)


def quantise_onnx(model: Path, feeds: Sequence[dict[str, NDArray[Any]]], path: Path) -> None:
    """`quantise_openvino` for ONNX files."""
    onnx = needed("onnx")
    graph = onnx.load(model)
    onnx.save(_quantise(graph, [node.name for node in graph.graph.node], feeds), path)


def _quantise(graph: Any, names: Sequence[str], feeds: Sequence[dict[str, NDArray[Any]]]) -> Any:
    # it asks torch for a compiler as it is imported, which warns that there is no GPU
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    nncf = needed("nncf")
    logging.getLogger("nncf").setLevel(logging.ERROR)  # set_log_level changes handlers of others
    stay = [name for name in names if not any(part in name for part in QUANTISED)]
    with redirect_stdout(sys.stderr):  # its progress
        return nncf.quantize(
            graph,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=stay, validate=False),
        )


def feed_of(image: NDArray[np.uint8], score: float) -> dict[str, NDArray[Any]]:
    """The inputs of a model for a picture ``(h, w, 3)`` at the network's size."""
    least = np.array(score, np.float32)
    return {"image": image, "box_score": least, "mask_score": least}
