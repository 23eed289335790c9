"""AOD-Net as a graph of its own, which works on the whole picture before it is resized.

The other methods take their measure from the picture (a share of its pixels, a median, windows cut
at its border), which a traced graph would freeze.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.errors import UserError
from dmaskrcnn.export.tracing import write_onnx

# of 255: the eager network computes two layers in bfloat16 where the hardware has it (docs say by
# how much), and rounds once more
MOST_DIFFERENCE = 2
EXPORTED = ("aod-net",)


class DehazeGraph(nn.Module):
    """The dehazing of one picture.

    Args:
        method: of those in `EXPORTED`.

    Raises:
        UserError: another method.
    """

    def __init__(self, method: str) -> None:
        super().__init__()
        if method not in EXPORTED:
            raise UserError(f"--dehaze {method}: cannot be exported; choose {EXPORTED[0]}, or none")
        # no rows are left out: which, is found by looking at the picture
        self.dehazer = Dehazer(method, ignore_rows=(0, 0))
        self.network: Any = self.dehazer.network

    def forward(self, image: Tensor) -> Tensor:
        """uint8 ``(H, W, 3)`` to the same without haze."""
        hazy = image.permute(2, 0, 1)[None].float() / 255
        one, two, three, four, five = self.network.convolutions
        first = one(hazy).relu()
        second = two(first).relu()
        third = three(torch.cat([first, second], dim=1)).relu()
        fourth = four(torch.cat([second, third], dim=1)).relu()
        k = five(torch.cat([first, second, third, fourth], dim=1)).relu()
        clear = ((hazy - 1) * k + 1).clamp(0, 1)
        return (clear * 255).round()[0].permute(1, 2, 0).to(torch.uint8)

    def eager(self, image: Tensor) -> Tensor:
        """What `dehaze` makes of a picture, uint8 ``(3, H, W)``."""
        return self.dehazer(image)[0]

    def write(self, path: Path, picture: NDArray[np.uint8]) -> None:
        """The ONNX file; the picture is what the tracer sees, and any size runs."""
        sizes = {0: "height", 1: "width"}
        example = (torch.from_numpy(picture.copy()),)
        write_onnx(self, example, path, ["image"], ["clear"], {"image": sizes, "clear": sizes})
