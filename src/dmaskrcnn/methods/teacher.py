"""`teacher`: a mean teacher (Tarvainen and Valpola, NeurIPS 2017) whose detections in unlabelled
hazy images teach a student.

The teacher is the moving average of the student's own weights: the detector that is saved. It sees
the target images as they are, the student sees them with strong colours, blur and hidden blocks;
the labelled clear images keep the student honest: ``L = L_det(source) + L_distil(target)``. It
begins from a detector that has learnt the source (the burn-in), as the published systems do
(Unbiased Teacher, Liu et al., ICLR 2021; ALDI, Kay et al. 2024); masks are distilled, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tyro.conf import arg

from dmaskrcnn.config.dehazers import DehazeMethod
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.schedule import SOURCE_PHASES, Phase, rising_decay
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import check_share
from dmaskrcnn.methods.base import Method
from dmaskrcnn.methods.parts.guard import AddedLabelsWatch, PseudoLabelWatch
from dmaskrcnn.methods.parts.idle_settings import idle_by_labels
from dmaskrcnn.methods.parts.label_settings import LabelSettings
from dmaskrcnn.methods.parts.losses import Losses

if TYPE_CHECKING:
    from torch import Tensor

    from dmaskrcnn.data.augment import Augmentation
    from dmaskrcnn.data.sample import Annotations, Batch
    from dmaskrcnn.detector.detector import Detector
    from dmaskrcnn.methods.parts.distillation import View

# terms of the distillation that let boxes drift (docs/methods.md)
BOXES = ("rpn_box_reg", "box_reg")
# largest share of a target picture that is hidden from the student (Hoyer et al. 2023 hide 0.5)
HIDE = 0.5


@dataclass(frozen=True)
class TeacherSettings(LabelSettings):
    """A mean teacher's detections in the hazy images."""

    average: ClassVar[str] = "the teacher"

    burn_in: float = 0.5
    """Part of the schedule that trains on the source alone, before there is a teacher to follow. By
    default 0.5; from a run folder 0, or 0.25 with haze."""
    teacher_ema: Annotated[float, arg(help_behavior_hint="(default: as --ema)")] = 0.999
    """Decay of the teacher's weights, which are the average that is saved, once there are target
    images; --ema is that of the burn-in. Lower: a teacher that follows faster, which a short
    training needs. Where the start is no detector yet, it rises as --ema does."""
    teacher_dehaze: Literal["none", DehazeMethod] = "none"
    """Dehaze the target images for the teacher. The student, which is what is saved, sees them as
    they are."""
    distil_boxes: bool = False
    """Distil the boxes' deltas, too. They drift, hence not by default."""
    align: bool = False
    """Align the domains by gradient reversal, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "burn_in", "teacher_ema", whole=False)

    @classmethod
    def defaults(cls, options: TrainOptions) -> dict[str, Any]:
        """From a trained detector less burn-in: only haze may be new to it."""
        trained = os.path.isdir(options.weights)
        burn_in = {"burn_in": 0.25 if options.haze_augment else 0.0} if trained else {}
        return super().defaults(options) | burn_in | {"teacher_ema": options.ema}

    def check(self, options: TrainOptions) -> None:
        """The teacher is the average of the weights."""
        for name, decay in (("ema", options.ema), ("teacher-ema", self.teacher_ema)):
            if not decay:
                raise UserError(
                    f"--{name} 0 leaves --method teacher without a teacher: set it to 0.9 or more"
                )

    @property
    def aligns(self) -> bool:
        """By choice."""
        return self.align

    def idle(self) -> dict[str, str]:
        """Besides, what labels decide."""
        return super().idle() | idle_by_labels(self)

    def from_trained(self, iterations: int) -> TeacherSettings:
        """With a teacher no slower than that lets it be, as by default."""
        return replace(self, teacher_ema=round(rising_decay(self.teacher_ema, iterations), 4))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The source alone for a share of the schedule, then teacher and student, in the
        proportions of the others' phases."""
        burn_in = self.burn_in
        adapt = tuple(
            Phase(
                name,
                phase.share * (1 - burn_in),
                phase.rate,
                from_average=burn_in > 0 and name == "adapt",
                decay=self.teacher_ema,
            )
            for name, phase in zip(("adapt", "fine"), SOURCE_PHASES, strict=True)
        )
        return (Phase("burn-in", burn_in, target=False), *adapt) if burn_in else adapt

    def target_view(self, view: Augmentation) -> Augmentation:
        """The student's view is harder than the teacher's, also where the preset is mild; but with
        ``align`` as the source's is, by which a classifier would know the domain otherwise."""
        from dmaskrcnn.dehazing import Dehazer

        name = self.teacher_dehaze
        dehaze = None if name == "none" else Dehazer(name, quick=True)
        harder = {} if self.align else {"strong": True, "hide": HIDE}
        return replace(view, weak=True, dehaze=dehaze, **harder)

    def build(self, detector: Detector) -> Teacher:
        """The student; the loop hands it its teacher."""
        return Teacher(self, detector)


class Teacher(Method):
    """Supervised training on the source, distillation on the target; on the source alone where a
    batch has no target images.

    With ``--pseudo-labels`` or ``--labeller`` target samples carry the objects of another detector:
    the student learns these and what its own teacher sees (`consensus`); masks that are missing are
    the teacher's.
    """

    explanation = (
        "pseudo-labels: what the averaged weights (the teacher) are sure to see in the target "
        "images; the teacher is also what "
        "is saved and evaluated"
    )

    def __init__(self, settings: TeacherSettings, detector: Detector) -> None:
        from dmaskrcnn.methods.parts.alignment import Alignment
        from dmaskrcnn.methods.parts.thresholds import Thresholds

        super().__init__(detector)
        self.settings = settings
        self.classifier = self.alignment = Alignment(settings, detector) if settings.align else None
        self.thresholds = Thresholds(len(detector.classes))
        brought = settings.keeps_target_labels
        self.label_watch = AddedLabelsWatch() if brought else PseudoLabelWatch()

    def losses(self, batch: Batch, progress: float) -> Losses:
        """The detection losses of the source and, where there are target images, theirs."""
        from dmaskrcnn.methods.parts.detection import (
            detection_losses,
            features_of,
            features_of_both,
        )
        from dmaskrcnn.methods.parts.distillation import View

        detector = self.detector
        if not batch.target:
            images, features = features_of(detector, batch.source)
            return Losses(detection_losses(detector, images, features, batch.source))
        first, second, halves = features_of_both(
            detector, batch, padded_alike=self.alignment is not None
        )
        losses = Losses(detection_losses(detector, first, halves[0], batch.source))
        own = View.of(detector, second, halves[1])
        losses.target, losses.logs = self._target_losses(batch, own)
        if self.alignment is not None:
            sizes = (first.image_sizes, second.image_sizes)
            aligned = self.alignment(detector, halves, sizes, progress)
            losses.alignment, losses.logs = aligned.alignment, losses.logs | aligned.logs
        return losses

    def _target_losses(
        self, batch: Batch, own: View
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and logs of the student's view of the target images."""
        from dmaskrcnn.methods.parts.distillation import teachers_view

        view = teachers_view(self.teacher, batch.target, own)
        # the same in every process, whatever objects its share of the batch has
        if self.settings.keeps_target_labels:
            return self._learn_brought_labels(batch, own, view)
        return self._learn_from_the_teacher(batch, own, view)

    def _learn_brought_labels(
        self, batch: Batch, own: View, view: View
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        import torch

        from dmaskrcnn.detector.assignment import Truth
        from dmaskrcnn.detector.roi_heads import split_chosen
        from dmaskrcnn.methods.parts.consensus import agreed
        from dmaskrcnn.methods.parts.distillation import distil_masks

        detector = self.detector
        found = [s.objects.to(detector.device) for s in batch.target if s.objects is not None]
        sure = _sure_per_image(found)
        if self.settings.compares:
            seen, _ = self._seen(view)
            found = [agreed(*pair) for pair in zip(found, seen, strict=True)]
        seeds = [s.seed for s in batch.target]
        losses = detector.losses(own.images, own.features, found, seeds)
        truth = Truth.of(found)
        rois, classes = split_chosen(truth.real & ~truth.has_mask, truth.boxes, truth.labels + 1)
        masks = distil_masks(detector, self.teacher, own, view, rois, torch.cat(classes))
        losses["mask"] = losses["mask"] + masks
        return losses, {"pseudo_labels": _sure_per_image(found), "sure_labels": sure}

    def _learn_from_the_teacher(
        self, batch: Batch, own: View, view: View
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        import torch

        from dmaskrcnn.detector.sampling import normaliser
        from dmaskrcnn.methods.parts.distillation import distil

        labels, scores = self._seen(view)
        seeds = [s.seed for s in batch.target]
        losses = distil(self.detector, self.teacher, own, view, labels, seeds)
        dropped = () if self.settings.distil_boxes else BOXES
        losses = {name: loss for name, loss in losses.items() if name not in dropped}
        score, sure = torch.cat(scores), torch.cat([~o.crowd for o in labels])
        logs = {
            "pseudo_labels": _sure_per_image(labels),
            "pseudo_score": (score * sure).sum() / normaliser(sure.sum(), score.device),
        }
        return losses, logs

    def _seen(self, view: View) -> tuple[list[Annotations], list[Tensor]]:
        """What the teacher sees, and how sure it is, which the thresholds follow."""
        import torch

        from dmaskrcnn.methods.parts.distillation import pseudo_labels

        labels, scores = pseudo_labels(self.teacher, view, self.thresholds.on(self.detector.device))
        self.thresholds.see(torch.cat([o.labels for o in labels]), torch.cat(scores))
        return labels, scores

    def begin_step(self) -> None:
        """What a pass that memory did not hold has seen does not count."""
        self.thresholds.forget()

    def end_step(self) -> None:
        """The thresholds move once, by all of the step's images, however they were parted."""
        self.thresholds.follow()

    def watch(self, values: Mapping[str, float]) -> str | None:
        """Warn, once, when the pseudo-labels vanish or explode, or outweigh those that were
        brought: the signs that the adaptation does harm."""
        said = self.alignment.watch(values) if self.alignment is not None else None
        if said or "pseudo_labels" not in values:
            return said
        labels = values["pseudo_labels"]
        if isinstance(self.label_watch, AddedLabelsWatch):
            return self.label_watch.watch(labels, values["sure_labels"])
        return self.label_watch.watch(labels)

    def status(self, values: Mapping[str, float]) -> str:
        """How many pseudo-labels there are, and how sure the teacher is of them."""
        said = self.alignment.status(values) if self.alignment is not None else ""
        if "pseudo_labels" in values:
            said += f", {values['pseudo_labels']:.1f} pseudo-labels per image"
        if "pseudo_score" in values:
            said += f" at score {values['pseudo_score']:.2f}"
        return said

    def state(self) -> dict[str, Any]:
        """The thresholds and the running means behind ``watch``."""
        return {
            "thresholds": self.thresholds.values,
            "labels": self.label_watch.state,
            "alignment": self.alignment.state() if self.alignment else {},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.thresholds.values.copy_(state["thresholds"])
        self.label_watch.state.update(state["labels"])
        if self.alignment is not None:
            self.alignment.load_state(state["alignment"])


def _sure_per_image(objects: list[Annotations]) -> Tensor:
    import torch

    return (~torch.cat([o.crowd for o in objects])).sum() / max(1, len(objects))
