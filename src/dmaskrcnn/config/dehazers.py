"""The ways to dehaze, as users read of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DehazerName:
    """How a way to dehaze is called.

    Attributes:
        label: in tables and reports.
    """

    label: str


DEHAZERS = {
    "dark-channel": DehazerName("dark channel"),
    "mscnn": DehazerName("MSCNN"),
    "mscnn-released": DehazerName("MSCNN as released"),
    "aod-net": DehazerName("AOD-Net"),
}
