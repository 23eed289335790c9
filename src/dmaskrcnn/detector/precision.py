"""Mixed precision: networks that run in bfloat16 between float32 numbers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "bf16", "float32"]


def run_network(module: nn.Module, *inputs: Any, dtype: torch.dtype | None) -> Any:
    """``module(*inputs)`` under autocast to ``dtype`` (None: as it is), its outputs float32
    whatever their nesting."""
    if dtype is None:
        return module(*inputs)
    with torch.autocast(next(module.parameters()).device.type, dtype=dtype):
        return _float32(module(*inputs))


def _float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float()
    if isinstance(value, dict):
        return {k: _float32(v) for k, v in value.items()}
    return type(value)(_float32(v) for v in value)
