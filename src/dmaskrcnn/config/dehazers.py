"""The dehazing methods by name: what users type, and what tables and pictures call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# the keys of `DEHAZERS`, as choices of the command line
DehazeMethod = Literal[
    "dark-channel", "dark-channel-robust", "mscnn", "mscnn-released", "mscnn-robust", "aod-net"
]
# and of those that learn
DehazeNetwork = Literal["mscnn", "aod-net"]


@dataclass(frozen=True)
class DehazerName:
    """How a dehazing method is called.

    Attributes:
        label: in tables and pictures.
        network: whose weights it takes, "mscnn" or "aod-net"; "" for none.
    """

    label: str
    network: str = ""


DEHAZERS = {
    "dark-channel": DehazerName("dark channel"),
    "dark-channel-robust": DehazerName("robust dark channel"),
    "mscnn": DehazerName("MSCNN", "mscnn"),
    "mscnn-released": DehazerName("MSCNN as released", "mscnn"),
    "mscnn-robust": DehazerName("robust MSCNN", "mscnn"),
    "aod-net": DehazerName("AOD-Net", "aod-net"),
}
NETWORKS = tuple(name for name, method in DEHAZERS.items() if method.network == name)
