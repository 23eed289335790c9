"""Exact rearrangements of convolutions that give the processor more channels to work on at once.

The dehazing networks have 3 to 10 channels at full resolution, where vector units of 16 lanes
mostly idle. Computing a block of neighbouring outputs as channels of one wider, strided convolution
fills the lanes; and a convolution after nearest upsampling is a smaller convolution of the image
before it, for each of the four places in a 2 by 2 block. Results agree up to rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def parameters(convolution: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight ``(O, C, k, k)`` and bias ``(O,)`` of a convolution."""
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    return convolution.weight, convolution.bias


def block_weight(weight: Tensor, rows: int, columns: int) -> Tensor:
    """The kernel that computes a block of outputs at once, as channels, when applied with stride
    ``(rows, columns)``.

    Args:
        weight: ``(O, C, k, k)``.
        rows: of the block.
        columns: of the block.

    Returns:
        ``(rows * columns * O, C, k + rows - 1, k + columns - 1)``; block positions row by row, the
        O channels of each together.
    """
    shifted = [
        F.pad(weight, (right, columns - 1 - right, down, rows - 1 - down))
        for down in range(rows)
        for right in range(columns)
    ]
    return torch.cat(shifted)


def upsampled_weight(weight: Tensor) -> Tensor:
    """The kernel that, on an image, computes what ``weight`` computes on the image enlarged twofold
    (nearest neighbour).

    Args:
        weight: ``(O, C, k, k)``, k odd.

    Returns:
        ``(4 * O, C, m, m)``, m odd and about k / 2: the four outputs of each 2 by 2 block as
        channels, as in ``block_weight``.
    """
    size = weight.shape[-1]
    reach = (size // 2 + 1) // 2
    # Tap i of an output in phase p reads pixel p + i - k // 2 of the enlarged image: half of it,
    # rounded down, before.
    gather = weight.new_zeros(2, size, 2 * reach + 1)
    for phase in range(2):
        for tap in range(size):
            gather[phase, tap, (phase + tap - size // 2) // 2 + reach] = 1
    return torch.einsum("ocij,pia,qjb->pqocab", weight, gather, gather).reshape(
        -1, weight.shape[1], *gather.shape[-1:] * 2
    )


def highest_of_block(blocks: Tensor) -> Tensor:
    """2 by 2 max-pooling where the four pixels of each block are channels: ``(N, 4 * C, H, W)`` to
    ``(N, C, H, W)``."""
    a, b, c, d = blocks.chunk(4, dim=1)
    return torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
