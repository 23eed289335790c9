"""Converts the weights of a dehazing network, as its authors released them, to a .safetensors that
``dmaskrcnn dehaze --weights`` takes.

    uv run python tools/convert_dehazing_weights.py MSCNNDehazing_CL.mat mscnn.safetensors
    uv run python tools/convert_dehazing_weights.py AOD_Net.caffemodel aod-net.safetensors

Of MSCNN's two files name either, …_CL.mat or …_FL.mat; the other must lie beside it. Of AOD-Net it
reads the authors' .caffemodel, and the .pth or .pt of a re-training in PyTorch whose layers are
called conv1 to conv5, with any prefix. No file is unpickled: .pth goes through PyTorch's
``weights_only`` reader, .mat through SciPy's, and the few fields of a .caffemodel are read here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmaskrcnn.dehazing.dehazer import METHODS
from dmaskrcnn.dehazing.pretrained import LARGEST, fill, save_weights
from dmaskrcnn.errors import UserError, first_line

MAT_LAYERS = ("conv", "relu", "pool", "upsmpl", "normalize") * 2 + (
    "conv",
    "relu",
    "pool",
    "upsmpl",
    "chnLinComb",
)


def main(arguments: list[str] | None = None) -> None:
    """Convert one file; what is wrong with it ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="the authors' file")
    parser.add_argument("out", type=Path, help="the .safetensors to write")
    args = parser.parse_args(arguments)
    try:
        convert(args.weights, args.out)
    except UserError as error:
        print(f"convert_dehazing_weights: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(args.out)


def convert(path: Path, out: Path) -> None:
    """Write the weights in ``path`` to ``out``, and a JSON beside it that says whence.

    Raises:
        UserError: the file is missing, broken, of another kind, or of another network.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the weights are written as .safetensors; name such a file")
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path")
    readers = {
        ".mat": ("mscnn", read_matconvnet_pair),
        ".caffemodel": ("aod-net", read_caffe),
        ".pth": ("aod-net", read_pytorch),
        ".pt": ("aod-net", read_pytorch),
    }
    if path.suffix.lower() not in readers:
        raise UserError(f"{path}: not one of {', '.join(readers)}; give the authors' file")
    name, reader = readers[path.suffix.lower()]
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path}: too large for weights of {name}; give the authors' file")
    try:
        state = reader(path)
    except UserError:
        raise
    except Exception as error:  # the readers raise many kinds on broken files
        raise UserError(
            f"{path}: cannot be read as weights of {name} ({first_line(error)}); check the file"
        ) from error
    network = METHODS[name]()
    fill(network, name, state, path)
    save_weights(network, out, {"method": name, "converted from": path.name})


def read_pytorch(path: Path) -> dict[str, Tensor]:
    """A state dict whose convolutions are called conv1 to conv5, with or without a prefix
    (``e_conv1``)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    pattern = {
        f"conv{i + 1}.{part}": f"convolutions.{i}.{part}"
        for i in range(5)
        for part in ("weight", "bias")
    }
    # Unknown keys stay as they are and are refused by their number.
    return {
        next((new for old, new in pattern.items() if key.endswith(old)), key): value.float()
        for key, value in state.items()
    }


def read_matconvnet_pair(path: Path) -> dict[str, Tensor]:
    """Both networks of MSCNN, from one of their files and the one beside it."""
    state = {}
    for network, mark in (("coarse", "_CL"), ("fine", "_FL")):
        stem = path.stem.replace("_FL", mark).replace("_CL", mark)
        file = path.with_name(stem + path.suffix)
        if mark not in stem or not file.is_file():
            raise UserError(
                f"{path}: MSCNN comes in two files, …_CL.mat and …_FL.mat; put {mark} beside it"
            )
        state |= {f"{network}.{key}": value for key, value in read_matconvnet(file).items()}
    return state


def read_matconvnet(path: Path) -> dict[str, Tensor]:
    """A network as MatConvNet saves it; its kernels are (rows, columns, inputs, outputs) and not
    mirrored."""
    from scipy.io import loadmat

    layers = loadmat(path, variable_names=["net"])["net"][0, 0]["layers"][0]
    kinds = tuple(str(layer[0, 0]["type"][0]) for layer in layers)
    if kinds != MAT_LAYERS:
        raise UserError(
            f"{path}: not an MSCNN network (its layers are {', '.join(kinds[:5])}, "
            "…); give the authors' file"
        )
    state = {}
    for index, layer in enumerate(
        layer[0, 0] for layer in layers if layer[0, 0]["type"][0] in ("conv", "chnLinComb")
    ):
        filters = np.asarray(layer["filters"], dtype=np.float32)
        name = "combination" if index == 3 else f"convolutions.{index}"
        kernel = (
            filters.transpose(3, 2, 0, 1)
            if filters.ndim == 4
            else filters.transpose(0, 2, 1)[..., None]
        )
        state[f"{name}.weight"] = torch.from_numpy(kernel.copy())
        state[f"{name}.bias"] = torch.from_numpy(
            np.asarray(layer["biases"], dtype=np.float32).reshape(-1).copy()
        )
    return state


def read_caffe(path: Path) -> dict[str, Tensor]:
    """The convolutions of a Caffe ``NetParameter``: layer = 100; in it name = 1, blobs = 7; there
    data = 5, shape = 7."""
    state = {}
    for layer in (value for field, value in protobuf(path.read_bytes()) if field == 100):
        fields = list(protobuf(layer))
        name = next(value for field, value in fields if field == 1).decode()
        for part, blob in zip(
            ("weight", "bias"), (value for field, value in fields if field == 7), strict=False
        ):
            content = dict(protobuf(blob))
            # packed; each dimension here is below 128, so it is one byte
            shape = tuple(dict(protobuf(content[7]))[1])
            values = np.frombuffer(content[5], dtype="<f4").reshape(shape)
            state[f"convolutions.{int(name.removeprefix('conv')) - 1}.{part}"] = torch.from_numpy(
                values.copy()
            )
    return state


def protobuf(message: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values of a message in protobuf's wire format."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, varint()
            continue
        if kind not in (1, 2, 5):
            raise ValueError("no protobuf message")
        length = varint() if kind == 2 else 8 if kind == 1 else 4
        value, at = message[at : at + length], at + length
        if len(value) < length:
            raise ValueError("the file is cut short")
        yield tag >> 3, value


if __name__ == "__main__":
    main()
