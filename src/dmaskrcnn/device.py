"""The device that computes, and what it is good at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmaskrcnn.errors import UserError, first_line

if TYPE_CHECKING:
    import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """``auto`` is the GPU if there is one. Raises UserError for a device this machine lacks."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--device {device}: not available here ({first_line(error)}); use auto or cpu"
        ) from error
    return chosen


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware is faster in bfloat16 than in float32. Intel's processors are where they
    multiply matrices of it (AMX), not by AVX-512's dot products alone: there a step of training
    took 1.4 times as long."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    if device.type == "cpu":
        has = getattr(torch.cpu, "get_capabilities", dict)()  # not in older torch
        dot_products = has.get("avx512_bf16") and "Intel" not in has.get("cpu_name", "Intel")
        return bool(has.get("amx_bf16") or dot_products)
    return False
