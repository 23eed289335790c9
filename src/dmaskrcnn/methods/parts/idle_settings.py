"""Which settings of a teacher have no effect with labels that are brought, or for want of them.
Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmaskrcnn.config.labelling import NOBODY, SELF, TRAIN, TRAINED
from dmaskrcnn.config.uses import without

if TYPE_CHECKING:
    from dmaskrcnn.methods.teacher import TeacherSettings


def idle_by_labels(settings: TeacherSettings) -> dict[str, str]:
    """As of `MethodSettings.idle`."""
    idle: dict[str, str] = {}
    if settings.keeps_target_labels and settings.labeller != SELF:  # its first round has none
        # `Teacher` learns the boxes of these, whether or not it would distil its own
        why = "with labels of another detector, whose boxes are learnt: leave it out"
        idle["distil_boxes"] = why
    if not settings.keeps_target_labels:
        idle["pseudo_threshold"] = without("--labeller or --pseudo-labels")
    if not settings.pseudo_labels and settings.labeller in (NOBODY, SELF):
        idle["trust"] = without("--pseudo-labels, or --labeller RUN or train")
    if settings.labeller not in TRAINED:
        idle["labeller_share"] = without("--labeller self or train")
    if settings.labeller != TRAIN:
        idle["labeller_weights"] = without("--labeller train")
    return idle
