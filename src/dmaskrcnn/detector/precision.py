"""Mixed precision: where bfloat16 is fast, and networks that run in it between float32 numbers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "bf16", "float32"]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    if device.type == "cpu":
        # private, so possibly absent
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, check, bool)() for check in checks)
    return False


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
