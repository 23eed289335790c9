"""Weights of the dehazing networks: the project's own, and the files that the methods' authors
released.

No file is unpickled: ``.pth`` goes through PyTorch's ``weights_only`` reader, ``.mat`` through
SciPy's, and the few fields of a ``.caffemodel`` are read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import atomic_write

SHIPPED = Path(__file__).parent / "weights"
# bytes; the largest of these files has 25 kB, so a detector's checkpoint is refused before it is
# read
LARGEST = 10_000_000
NETWORKS = ("mscnn", "aod-net")
_MAT_LAYERS = ("conv", "relu", "pool", "upsmpl", "normalize") * 2 + (
    "conv",
    "relu",
    "pool",
    "upsmpl",
    "chnLinComb",
)


def shipped_weights(network: str) -> Path:
    """The file of the weights that the project trained itself."""
    return SHIPPED / f"{network}.safetensors"


def load_weights(network: torch.nn.Module, name: str, path: Path) -> None:
    """Fill a network from a file.

    Args:
        network: ``MSCNN`` or ``AODNet``.
        name: which, "mscnn" or "aod-net".
        path: ``.safetensors`` of ``train-dehazer``; for MSCNN one of the authors' pair ``…_CL.mat``
            and ``…_FL.mat`` (the other lies beside it); for AOD-Net a PyTorch ``.pth`` or the
            authors' ``.caffemodel``.

    Raises:
        UserError: the file is missing, broken, of another kind, or of another network.
    """
    readers = {
        (".safetensors", "mscnn"): _read_safetensors,
        (".safetensors", "aod-net"): _read_safetensors,
        (".mat", "mscnn"): _read_matconvnet_pair,
        (".pth", "aod-net"): _read_pytorch,
        (".pt", "aod-net"): _read_pytorch,
        (".caffemodel", "aod-net"): _read_caffe,
    }
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path")
    reader = readers.get((path.suffix.lower(), name))
    if reader is None:
        kinds = ", ".join(suffix for suffix, network in readers if network == name)
        raise UserError(f"{path}: no weights of {name}; it takes {kinds}")
    if path.stat().st_size > LARGEST:
        raise UserError(
            f"{path}: too large for weights of {name}; give a file of the dehazing network"
        )
    try:
        state = reader(path)
    except UserError:
        raise
    except Exception as error:  # the readers raise many kinds on broken files
        raise UserError(
            f"{path}: cannot be read as weights of {name} ({first_line(error)}); check the file"
        ) from error
    wanted = network.state_dict()
    wrong = next(
        (key for key in wanted if key not in state or state[key].shape != wanted[key].shape), None
    )
    if wrong is not None or len(state) != len(wanted):
        shapes = (
            f"{wrong}: {tuple(state[wrong].shape) if wrong in state else 'missing'}"
            if wrong
            else "it holds more"
        )
        raise UserError(
            f"{path}: not the weights of {name} ({shapes}); give the file of that "
            "network, or another --method"
        )
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise UserError(f"{path}: holds values that are not finite; train it again")
    network.load_state_dict(state)


def save_weights(network: torch.nn.Module, path: Path, description: dict[str, Any]) -> None:
    """Write ``path`` (safetensors) and, beside it, the description as JSON."""
    from safetensors.torch import save_file

    state = {key: value.detach().contiguous().cpu() for key, value in network.state_dict().items()}
    atomic_write(path, lambda temporary: save_file(state, temporary))
    text = json.dumps(description, indent=2) + "\n"
    atomic_write(
        path.with_suffix(".json"), lambda temporary: temporary.write_text(text, encoding="utf-8")
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_pytorch(path: Path) -> dict[str, Tensor]:
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


def _read_matconvnet_pair(path: Path) -> dict[str, Tensor]:
    state = {}
    for network, mark in (("coarse", "_CL"), ("fine", "_FL")):
        stem = path.stem.replace("_FL", mark).replace("_CL", mark)
        file = path.with_name(stem + path.suffix)
        if mark not in stem or not file.is_file():
            raise UserError(
                f"{path}: MSCNN comes in two files, …_CL.mat and …_FL.mat; put {mark} beside it"
            )
        state |= {f"{network}.{key}": value for key, value in _read_matconvnet(file).items()}
    return state


def _read_matconvnet(path: Path) -> dict[str, Tensor]:
    """A network as MatConvNet saves it; its kernels are (rows, columns, inputs, outputs) and not
    mirrored."""
    from scipy.io import loadmat

    layers = loadmat(path, variable_names=["net"])["net"][0, 0]["layers"][0]
    kinds = tuple(str(layer[0, 0]["type"][0]) for layer in layers)
    if kinds != _MAT_LAYERS:
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


def _read_caffe(path: Path) -> dict[str, Tensor]:
    """The convolutions of a Caffe ``NetParameter``: layer = 100; in it name = 1, blobs = 7; there
    data = 5, shape = 7."""
    state = {}
    for layer in (value for field, value in _protobuf(path.read_bytes()) if field == 100):
        fields = list(_protobuf(layer))
        name = next(value for field, value in fields if field == 1).decode()
        for part, blob in zip(
            ("weight", "bias"), (value for field, value in fields if field == 7), strict=False
        ):
            content = dict(_protobuf(blob))
            # packed; each dimension here is below 128, so it is one byte
            shape = tuple(dict(_protobuf(content[7]))[1])
            values = np.frombuffer(content[5], dtype="<f4").reshape(shape)
            state[f"convolutions.{int(name.removeprefix('conv')) - 1}.{part}"] = torch.from_numpy(
                values.copy()
            )
    return state


def _protobuf(message: bytes) -> Iterator[tuple[int, Any]]:
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
