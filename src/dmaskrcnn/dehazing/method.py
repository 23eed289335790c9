"""What a dehazing method is: it estimates the clear picture; those that are networks have a loss,
too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass
class Estimate:
    """What a method makes of N hazy images.

    Attributes:
        clear: the images without their haze, float32 ``(N, 3, H, W)`` in [0, 1].
        maps: what it found on the way, float32, see :func:`~dmaskrcnn.dehazing.dehazer.dehaze`.
    """

    clear: Tensor
    maps: dict[str, Tensor]


class DehazingMethod(nn.Module):
    """One way to dehaze, built without arguments that differ between methods.

    Attributes:
        layout: how the images it computes fastest lie in memory.
        quick: whether it may smooth its maps in a reduced picture, for training: several times
            faster, and a grey level off on average.
    """

    layout: ClassVar[torch.memory_format] = torch.contiguous_format
    quick = False

    def estimate(self, hazy: Tensor, for_8_bits: bool = False) -> Estimate:
        """Dehaze images.

        Args:
            hazy: float32 ``(N, 3, H, W)`` in [0, 1].
            for_8_bits: the clear images will be rounded to 8 bits, so a coarser arithmetic will do.
        """
        raise NotImplementedError


class DehazingNetwork(DehazingMethod):
    """A method whose weights are trained."""

    def loss(self, hazy: Tensor, clear: Tensor, transmission: Tensor) -> Tensor:
        """What training minimises, a scalar.

        Args:
            hazy: float32 ``(N, 3, H, W)`` in [0, 1].
            clear: the same without haze.
            transmission: ``(N, 1, H, W)`` in (0, 1].
        """
        raise NotImplementedError
