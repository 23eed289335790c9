"""One frame of a video, with its time and the sound before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.arrays import as_image

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Frame:
    """One frame.

    Attributes:
        number: place in the video, from 0. After ``start`` it follows from the time and the rate.
        time: seconds after the beginning of the video.
        pixels: uint8 ``(H, W, 3)``, RGB, upright.
        sound: packets of sound that come before it.
    """

    number: int
    time: Fraction
    pixels: NDArray[np.uint8]
    sound: list[Any] = field(default_factory=list)

    @property
    def image(self) -> Tensor:
        """As detectors take it, on the memory of ``pixels``: see `arrays.as_image`."""
        return as_image(self.pixels)
