"""What a student learns from a teacher: soft targets for region proposals, classes, boxes and
masks; nothing of a schedule.

Student and teacher look at the same target picture, the student at a strongly augmented version of
it. The teacher's confident detections (`pseudo_labels`) only pick which anchors and RoIs count;
what these learn are the teacher's own outputs at the very same anchors and RoIs, not boxes that
were made hard. The scheme follows the published description of ALDI (Kay et al. 2024, section 3.3);
the mask term is this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.sample import Annotations, Sample
from dmaskrcnn.detector.assignment import Truth
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.pyramid import Features
from dmaskrcnn.detector.roi_heads import split_chosen, take_class
from dmaskrcnn.detector.rpn import AnchorOutputs
from dmaskrcnn.detector.sampling import normaliser

# Score from which a detection of the teacher may be an object: below, it is background. Well under
# the lowest threshold (0.3), so that the unsure have a band of their own.
CANDIDATE = 0.2


@dataclass
class View:
    """One network's look at the N target pictures of a batch.

    Attributes:
        images: for their sizes.
        features: the FPN's maps.
        anchors: what the RPN says.
    """

    images: ImageList
    features: Features
    anchors: AnchorOutputs

    @classmethod
    def of(cls, network: Detector, images: ImageList, features: Features) -> View:
        """What a network that made these features says of their anchors."""
        return cls(images, features, network.rpn.outputs(images, features))


@torch.no_grad()
def teachers_view(teacher: Detector, samples: Sequence[Sample], own: View) -> View:
    """The teacher's look at the weak versions of ``samples``, padded as the student's."""
    images = teacher.normalise(
        [s.image if s.weak is None else s.weak for s in samples], own.images.tensors.shape[-2:]
    )
    return View.of(teacher, images, teacher.features(images))


@torch.no_grad()
def pseudo_labels(
    teacher: Detector, view: View, thresholds: Tensor
) -> tuple[list[Annotations], list[Tensor]]:
    """The teacher's detections as annotations.

    A detection below its class's threshold is marked as ``crowd``: neither object nor background,
    so that what overlaps it is left out of the losses.

    Args:
        teacher: in evaluation mode.
        view: the teacher's.
        thresholds: float32 ``(C,)``, in [0, 1].

    Returns:
        Per picture the annotations, without masks; and the score of each, float32 ``(n,)``.
    """
    sizes = view.images.image_sizes
    proposals = teacher.rpn.propose(view.anchors, sizes)
    detections = teacher.roi_heads.confident(view.features, proposals, sizes, CANDIDATE)
    found, kept = [], []
    for (box, label, score), (height, width) in zip(detections, sizes, strict=True):
        label = label - 1
        no = torch.zeros(len(box), dtype=torch.bool, device=box.device)
        masks = no_masks(len(box), height, width).to(box.device)
        found.append(Annotations(box, label, masks, no, score < thresholds[label], no.clone()))
        kept.append(score)
    return found, kept


def distil(
    student: Detector,
    teacher: Detector,
    own: View,
    view: View,
    labels: Sequence[Annotations],
    seeds: Sequence[int],
) -> dict[str, Tensor]:
    """The five losses of the target pictures, in the notation p = student, q = teacher (detached):

    - ``objectness``: binary cross-entropy of p to the probability q, at sampled anchors;
    - ``rpn_box_reg``: L1 of the deltas, at the sampled anchors that match a pseudo-label;
    - ``classifier``: cross-entropy ``-sum q log p`` over the classes, at RoIs sampled from the
      *student's* proposals, which the teacher scores again;
    - ``box_reg``: L1 of the deltas of the pseudo-label's class, at the RoIs that match one;
    - ``mask``: binary cross-entropy of p to the teacher's mask probability of that class, at the
      same RoIs.

    Args:
        student: in training mode.
        teacher: in evaluation mode.
        own: the student's view.
        view: the teacher's, of the same padded size.
        labels: per picture, from `pseudo_labels`.
        seeds: of the sampling, one per picture.
    """
    truth = Truth.of(labels)
    objectness, deltas = _distil_anchors(student, own.anchors, view.anchors, truth, seeds)
    sizes = own.images.image_sizes
    proposals = student.rpn.propose(own.anchors, sizes)
    chosen = student.roi_heads.select(proposals, truth, seeds)
    rois, classes, first = list(chosen.boxes), chosen.labels, chosen.positives
    logits, regression = student.roi_heads.box_outputs(own.features, rois, sizes)
    with torch.no_grad():
        said, placed = teacher.roi_heads.box_outputs(view.features, rois, sizes)
    objects, valid = classes[:, :first] > 0, classes.flatten() >= 0
    count = normaliser(valid.sum(), logits.device)
    classified = F.cross_entropy(logits, said.softmax(1), reduction="none")
    regression, placed = (take_class(v, classes, first) for v in (regression, placed))
    boxes = F.l1_loss(regression, placed, reduction="none")
    found, of_found = split_chosen(objects, chosen.boxes[:, :first], classes[:, :first])
    return {
        "objectness": objectness,
        "rpn_box_reg": deltas,
        "classifier": (classified * valid).sum() / count,
        "box_reg": (boxes * objects[:, :, None]).sum() / count,
        "mask": distil_masks(student, teacher, own, view, found, torch.cat(of_found)),
    }


def distil_masks(
    student: Detector, teacher: Detector, own: View, view: View, rois: list[Tensor], classes: Tensor
) -> Tensor:
    """Mean binary cross-entropy of the student's mask to the teacher's probability of the same
    class, at the same RoIs.

    Args:
        student: in training mode.
        teacher: in evaluation mode.
        own: the student's view.
        view: the teacher's.
        rois: per picture float32 ``(n, 4)``; n may be 0.
        classes: int64, the class (1-based) of all RoIs in turn.
    """
    sizes, rows = own.images.image_sizes, torch.arange(len(classes), device=classes.device)
    # Without RoIs, too: every process takes part in the exchange, every parameter has a gradient.
    logits = student.roi_heads.mask_outputs(own.features, rois, sizes)[rows, classes]
    with torch.no_grad():
        said = teacher.roi_heads.mask_outputs(view.features, rois, sizes)[rows, classes]
    count = normaliser(len(classes), logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, said.sigmoid(), reduction="sum")
    return loss / (count * logits.shape[1:].numel())


def _distil_anchors(
    student: Detector,
    own: AnchorOutputs,
    other: AnchorOutputs,
    truth: Truth,
    seeds: Sequence[int],
) -> tuple[Tensor, Tensor]:
    sampled, _ = student.rpn.select(own.anchors, truth, seeds)
    valid, first = sampled.valid, sampled.positives
    objectness, deltas, _ = own.at(sampled.index)
    said, placed, _ = other.at(sampled.index)
    said = said.detach().sigmoid()
    objectness = F.binary_cross_entropy_with_logits(objectness, said, reduction="none")
    boxes = F.l1_loss(deltas[:, :first], placed[:, :first].detach(), reduction="none")
    count = normaliser(valid.sum(), objectness.device)
    return (objectness * valid).sum() / count, (boxes * valid[:, :first, None]).sum() / count
