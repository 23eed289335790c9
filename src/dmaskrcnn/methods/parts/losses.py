"""Losses by what they count for: detection on labelled images, the target, or alignment of the two.

Imports no torch before it computes: the report reads the columns of ``metrics.csv`` with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Losses:
    """What a method gives for a batch: named scalar losses, whose sum is minimised, and numbers to
    log."""

    detection: dict[str, Tensor] = field(default_factory=dict)
    """Mask R-CNN's on labelled images: comparable between methods, whatever else they add."""
    target: dict[str, Tensor] = field(default_factory=dict)
    """On images of the target domain."""
    alignment: dict[str, Tensor] = field(default_factory=dict)
    """Of what makes the domains alike."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Detached scalars that are only written down."""

    def total(self) -> Tensor:
        """The scalar to minimise."""
        import torch

        # In this order: floats add up to other bits in another.
        kinds = (self.detection, self.target, self.alignment)
        return torch.stack([loss for kind in kinds for loss in kind.values()]).sum()

    def columns(self) -> dict[str, Tensor]:
        """All of it under the names of ``metrics.csv``: ``detection/mask``, ``target/mask``, ...;
        logs under their own."""
        kinds = {"detection": self.detection, "target": self.target, "alignment": self.alignment}
        losses = {f"{kind}/{name}": v for kind, part in kinds.items() for name, v in part.items()}
        return losses | self.logs


def column(row: Mapping[str, float], name: str) -> float | None:
    """A column of a row, or the sum of those below it: ``detection`` is ``detection/mask`` and all
    others of its kind. None where there is neither."""
    parts = [v for key, v in row.items() if key == name or key.startswith(f"{name}/")]
    return sum(parts) if parts else None
