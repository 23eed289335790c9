"""How much memory a device has left, and how much work took of it."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

import torch

CGROUPS = Path("/sys/fs/cgroup")
# of a container, in both versions of the kernel's groups: folder, files of limit and use, and in
# memory.stat the part of the use that is given back if asked
LIMITS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class Room:
    """The memory of a device from now on.

    Attributes:
        free: bytes that this process may take; infinite where nobody says.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on_gpu = device.type == "cuda"
        if self.on_gpu:
            self.clear()
            self.free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        else:
            self.free = free_memory() / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.before = 0 if self.on_gpu else resident("VmRSS")

    def begin(self) -> None:
        """Count anew what is used."""
        self.clear()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with suppress(OSError):  # the highest value begins at what it is
                Path("/proc/self/clear_refs").write_text("5")

    def used(self) -> float:
        """The most bytes taken since `begin`, those that were taken before it included."""
        if self.on_gpu:
            return torch.cuda.max_memory_reserved(self.device)
        return resident("VmHWM") - self.before

    def wait(self) -> None:
        """Until what a GPU was asked for is done."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def clear(self) -> None:
        """Give back what is only kept for later."""
        if self.on_gpu:
            torch.cuda.empty_cache()


def free_memory(proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> float:
    """Bytes that the machine, or the container around this process, has left; infinite where the
    system does not say."""
    left = [math.inf]
    with suppress(OSError, KeyError, ValueError):
        left.append(1024 * _numbers(proc / "meminfo")["MemAvailable"])
    for folder, limit, use, given_back in LIMITS:
        with suppress(OSError, KeyError, ValueError):  # "max": there is no limit
            most, taken = (int((cgroups / folder / name).read_text()) for name in (limit, use))
            left.append(most - taken + _numbers(cgroups / folder / "memory.stat")[given_back])
    return max(0, min(left))


def resident(name: str) -> int:
    """``VmRSS``, the bytes of this process in memory, or ``VmHWM``, their most; 0 where the system
    does not say."""
    try:
        return 1024 * _numbers(Path("/proc/self/status"))[name]
    except (OSError, KeyError):
        return 0


def _numbers(file: Path) -> dict[str, int]:
    """Of lines that are a name, perhaps with a colon, and a number."""
    lines = (line.split() for line in file.read_text().splitlines())
    pairs = ((words[0], words[1]) for words in lines if len(words) > 1)
    return {name.rstrip(":"): int(number) for name, number in pairs if number.isdigit()}
