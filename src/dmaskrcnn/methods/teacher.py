"""`teacher`: a mean teacher (Tarvainen and Valpola, NeurIPS 2017) whose detections in unlabelled
hazy images teach a student.

The teacher is the moving average of the student's own weights: the detector that is saved. It sees
the target images as they are, the student sees them with strong colours, blur and hidden blocks;
the labelled clear images keep the student honest: ``L = L_det(source) + L_distil(target)``. It
begins from a detector that has learnt the source (the burn-in), as the published systems do
(Unbiased Teacher, Liu et al., ICLR 2021; ALDI, Kay et al. 2024); masks are distilled, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor
from tyro.conf import arg

from dmaskrcnn.config.dehazers import DehazeMethod
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.schedule import Phase, teacher_phases
from dmaskrcnn.config.values import check_share
from dmaskrcnn.data.sample import Annotations, Batch
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import average
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.base import Method, features_of_both
from dmaskrcnn.methods.parts.alignment import Alignment
from dmaskrcnn.methods.parts.alignment_settings import AlignmentSettings
from dmaskrcnn.methods.parts.distillation import View, distil, distil_masks, pseudo_labels

if TYPE_CHECKING:
    from dmaskrcnn.data.augment import Augmentation
    from dmaskrcnn.data.dataset import Dataset

# largest share of a target picture that is hidden from the student (Hoyer et al. 2023 hide 0.5)
HIDE = 0.5
START, LOWEST, HIGHEST = 0.5, 0.3, 0.8  # of a class's threshold
MOMENTUM = 0.99  # of the running means behind thresholds and warnings
# terms of the distillation that let boxes drift (docs/methods.md)
BOXES = ("rpn_box_reg", "box_reg")
SETTLED = 50  # iterations after which the number of pseudo-labels has a level to be compared with


@dataclass(frozen=True)
class TeacherSettings(AlignmentSettings):
    """A mean teacher's detections in the hazy images."""

    average: ClassVar[str] = "the teacher"

    burn_in: float = 0.5
    """Part of the schedule that trains on the source alone, before there is a teacher to follow. By
    default 0.5; from a run folder 0, or 0.25 with haze."""
    pseudo_labels: Annotated[str, arg(metavar="PATH", help_behavior_hint="")] = ""
    """COCO results JSON of another detector on the target images; the student learns these instead
    of its own teacher's."""
    pseudo_threshold: float = 0.5
    """Lowest score of --pseudo-labels that counts as an object; those from 0.2 up to it count as
    neither object nor background."""
    teacher_dehaze: Literal["none", DehazeMethod] = "none"
    """Dehaze the target images for the teacher. The student, which is what is saved, sees them as
    they are."""
    distil_boxes: bool = False
    """Distil the boxes' deltas, too. They drift, hence not by default."""
    align: bool = False
    """Align the domains by gradient reversal, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "burn_in", whole=False)
        if not 0 < self.pseudo_threshold <= 1:
            raise UserError(f"--pseudo-threshold must be in (0, 1], got {self.pseudo_threshold}")

    @classmethod
    def defaults(cls, options: TrainOptions) -> dict[str, Any]:
        """From a trained detector less burn-in: only haze may be new to it."""
        trained = Path(options.weights).is_dir()
        burn_in = {"burn_in": 0.25 if options.haze_augment else 0.0} if trained else {}
        return super().defaults(options) | burn_in

    def check(self, options: TrainOptions) -> None:
        """The teacher is the average of the weights."""
        if not options.ema:
            raise UserError(
                "--ema 0 leaves --method teacher without a teacher: set it to 0.99 or more"
            )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The burn-in, then teacher and student."""
        return teacher_phases(self.burn_in)

    def target_view(self, view: Augmentation) -> Augmentation:
        """The student's view is harder than the teacher's, also where the preset is mild."""
        from dmaskrcnn.dehazing import Dehazer

        dehaze = None if self.teacher_dehaze == "none" else Dehazer(self.teacher_dehaze)
        return replace(view, strong=True, weak=True, dehaze=dehaze, hide=HIDE)

    def label_target(self, target: Dataset, source: Dataset) -> Dataset:
        """The pseudo-labels that the user brings."""
        from dmaskrcnn.methods.parts.pseudo_labels import with_pseudo_labels

        if not self.pseudo_labels:
            return target
        return with_pseudo_labels(target, Path(self.pseudo_labels), source, self.pseudo_threshold)

    @property
    def keeps_target_labels(self) -> bool:
        """Where the user brings pseudo-labels."""
        return bool(self.pseudo_labels)

    def build(self, detector: Detector) -> Teacher:
        """The student; the loop hands it its teacher."""
        return Teacher(self, detector)


class Teacher(Method):
    """Supervised training on the source, distillation on the target; on the source alone where a
    batch has no target images.

    Each class's threshold follows the teacher's mean confidence in that class (FreeMatch, Wang et
    al., ICLR 2023, section 4.1): a class that haze makes uncertain keeps its pseudo-labels, a sure
    one becomes choosy.

    Where target samples carry objects, these are pseudo-labels of an outside teacher
    (``--pseudo-labels``): the student learns them as they are, and its own teacher gives only the
    masks.
    """

    explanation = (
        "pseudo-labels: what the averaged weights (the teacher) are sure to see in the target "
        "images; the teacher is also what "
        "is saved and evaluated"
    )
    thresholds: Tensor

    def __init__(self, settings: TeacherSettings, detector: Detector) -> None:
        super().__init__(detector)
        self.alignment = Alignment(settings, detector) if settings.align else None
        self.dropped = () if settings.distil_boxes else BOXES
        self.register_buffer("thresholds", torch.full((len(detector.classes),), START))
        self.history: dict[str, Any] = {"seen": 0, "count": 0.0, "level": 0.0, "warned": False}

    @property
    def classifier(self) -> Alignment | None:
        """The domain classifiers, with ``--align``."""
        return self.alignment

    def forward(self, batch: Batch, progress: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The detection losses of the source and, beside them under names with ``target_``, those
        of the target."""
        detector = self.detector
        objects = [s.objects.to(detector.device) for s in batch.source if s.objects is not None]
        seeds = [s.seed for s in (*batch.source, *batch.target)]
        count = len(batch.source)
        if not batch.target:
            images = detector.normalise([s.image for s in batch.source])
            return detector.losses(images, detector.features(images), objects, seeds), {}
        first, second, halves = features_of_both(
            detector, batch, padded_alike=self.alignment is not None
        )
        losses = detector.losses(first, halves[0], objects, seeds[:count])
        own = View(second, halves[1], detector.rpn.outputs(second, halves[1]))
        found, logs = self._target_losses(batch, own, seeds[count:])
        losses |= {f"loss_target_{name}": loss for name, loss in found.items()}
        if self.alignment is not None:
            aligned, more = self.alignment(
                detector, halves, (first.image_sizes, own.images.image_sizes), progress
            )
            losses, logs = losses | aligned, logs | more
        return losses, logs

    def _target_losses(
        self, batch: Batch, own: View, seeds: list[int]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        detector, teacher = self.detector, self.teacher
        with torch.no_grad():
            images = teacher.normalise(
                [s.image if s.weak is None else s.weak for s in batch.target],
                own.images.tensors.shape[-2:],
            )
            features = teacher.features(images)
            view = View(images, features, teacher.rpn.outputs(images, features))
        brought = [s.objects.to(detector.device) for s in batch.target if s.objects is not None]
        if brought:
            losses = detector.losses(own.images, own.features, brought, seeds)
            real = [o[~o.crowd] for o in brought]
            losses["loss_mask"] = losses["loss_mask"] + distil_masks(
                detector, teacher, own, view, [o.boxes[~o.has_mask] for o in real],
                torch.cat([o.labels[~o.has_mask] + 1 for o in real]),
            )  # fmt: skip
            return {k.removeprefix("loss_"): v for k, v in losses.items()}, {
                "pseudo_labels": _per_image(real)
            }
        labels, scores = pseudo_labels(teacher, view, self.thresholds)
        losses = distil(detector, teacher, own, view, labels, seeds)
        losses = {name: loss for name, loss in losses.items() if name not in self.dropped}
        score, sure = torch.cat(scores), torch.cat([~o.crowd for o in labels])
        logs = {
            "pseudo_labels": _per_image([o[~o.crowd] for o in labels]),
            "pseudo_score": score[sure].mean() if sure.any() else score.new_tensor(0.0),
        }
        self._adapt_thresholds(torch.cat([o.labels for o in labels]), score)
        return losses, logs

    @torch.no_grad()
    def _adapt_thresholds(self, labels: Tensor, scores: Tensor) -> None:
        """Move each class's threshold towards the mean score of its candidates in this batch, over
        all processes."""
        classes = len(self.thresholds)
        total = torch.stack(
            [torch.bincount(labels, scores, classes), torch.bincount(labels, minlength=classes)]
        )
        total, number = average(total.to(scores.device, torch.float32))
        seen = number > 0
        mean = (total / number.clamp(min=1e-6)).clamp(LOWEST, HIGHEST)
        self.thresholds[seen] = MOMENTUM * self.thresholds[seen] + (1 - MOMENTUM) * mean[seen]

    def watch(self, values: dict[str, float]) -> str | None:
        """Warn, once, when the pseudo-labels vanish or explode: the signs that the adaptation does
        harm."""
        aligned = self.alignment.watch(values) if self.alignment is not None else None
        return aligned or self._watch_labels(values)

    def _watch_labels(self, values: dict[str, float]) -> str | None:
        if "pseudo_labels" not in values:
            return None
        state, now = self.history, values["pseudo_labels"]
        state["seen"] += 1
        weight = max(1 / state["seen"], 1 - MOMENTUM)
        state["count"] += weight * (now - state["count"])
        if state["seen"] == SETTLED:
            state["level"] = state["count"]
        if state["seen"] < SETTLED or state["warned"]:
            return None
        count, level = state["count"], state["level"]
        if count < max(0.02, level / 5):
            state["warned"] = True
            return (
                f"the teacher finds almost nothing in the target images ({count:.2f} "
                f"pseudo-labels per image, {level:.2f} at "
                "first): a longer --burn-in, --haze-augment 0.5 or --pseudo-labels of another "
                "detector would help"
            )
        if count > 5 * level + 1:
            state["warned"] = True
            return (
                f"the pseudo-labels multiply ({count:.2f} per image, {level:.2f} at first): the "
                "teacher believes its own "
                "mistakes; lower --lr, raise --ema or stop earlier (--iterations)"
            )
        return None

    def watch_state(self) -> dict[str, Any]:
        """The running means."""
        return {
            "labels": dict(self.history),
            "alignment": self.alignment.watch_state() if self.alignment else {},
        }

    def load_watch_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``watch_state``."""
        self.history.update(state["labels"])
        if self.alignment is not None:
            self.alignment.load_watch_state(state["alignment"])


def _per_image(objects: list[Annotations]) -> Tensor:
    return torch.tensor(sum(map(len, objects)) / max(1, len(objects)))
