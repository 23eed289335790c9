"""Weights of the dehazing networks on disk: the project's own, and those of ``train-dehazer``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import atomic_write

SHIPPED = Path(__file__).parent / "weights"
# bytes; the largest of these files has 35 kB, so a detector's checkpoint is refused before it is
# read
LARGEST = 10_000_000
FOREIGN = (".mat", ".caffemodel", ".pth", ".pt")  # what tools/convert_dehazing_weights.py reads


def shipped_weights(network: str) -> Path:
    """The file of the weights that the project trained itself."""
    return SHIPPED / f"{network}.safetensors"


def load_weights(network: torch.nn.Module, name: str, path: Path) -> None:
    """Fill a network from a ``.safetensors``.

    Args:
        network: ``MSCNN`` or ``AODNet``.
        name: which, "mscnn" or "aod-net".
        path: the file.

    Raises:
        UserError: the file is missing, broken, of another kind, or of another network.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path")
    if path.suffix.lower() in FOREIGN:
        raise UserError(
            f"{path}: not a .safetensors; convert it with `python "
            f"tools/convert_dehazing_weights.py {path} {name}.safetensors` (in the source tree)"
        )
    if path.suffix.lower() != ".safetensors":
        raise UserError(f"{path}: no weights of {name}; give a .safetensors of train-dehazer")
    if path.stat().st_size > LARGEST:
        raise UserError(
            f"{path}: too large for weights of {name}; give a file of the dehazing network"
        )
    try:
        state = load_file(path)
    except Exception as error:  # broken files raise many kinds
        raise UserError(
            f"{path}: cannot be read as weights of {name} ({first_line(error)}); check the file"
        ) from error
    fill(network, name, state, path)


def fill(network: torch.nn.Module, name: str, state: dict[str, Tensor], path: Path) -> None:
    """Give a network the weights that were read from ``path``.

    Raises:
        UserError: they are of another network, or not finite.
    """
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
            "network, or another method"
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
