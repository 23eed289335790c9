"""What losses count for: detection on the source, the target, or alignment of the two."""

from __future__ import annotations

from collections.abc import Mapping

# what methods add to Mask R-CNN's losses, by beginning
OTHER_LOSSES = ("loss_domain", "loss_consistency", "loss_target")


def detection_loss(values: dict[str, float]) -> float:
    """The sum of Mask R-CNN's losses on labelled images: comparable between methods, whatever else
    they add."""
    return sum(
        v for k, v in values.items() if k.startswith("loss_") and not k.startswith(OTHER_LOSSES)
    )


def metric_value(row: Mapping[str, float], column: str) -> float | None:
    """A column of a row, made comparable between methods: ``loss`` is detection on the source,
    ``loss_target`` that on the target."""
    if column not in ("loss", "loss_target"):
        return row.get(column)
    alignment = ("loss_domain", "loss_domain_instance", "loss_consistency")
    ours = {k: v for k, v in row.items() if k.startswith("loss_") and k not in alignment}
    parts = [
        v for k, v in ours.items() if k.startswith("loss_target_") == (column == "loss_target")
    ]
    return sum(parts) if parts else None
