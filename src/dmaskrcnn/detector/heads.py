"""torchvision's region proposal network and RoI heads with three changes, and nothing else.

1. Only the networks run in bfloat16: their outputs become float32 before any box arithmetic.
   torchvision decodes boxes in the dtype of the regression output, which under autocast loses
   pixels and ends in NaN.
2. Sampling takes its random numbers from a seed per image and losses are normalised over all ranks,
   so that the result does not depend on how many processes share the batch.
3. Objects without a mask train everything but the mask head; crowds are neither positive nor
   negative.

State dict keys are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import roi_heads, rpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detector.precision import run_network
from dmaskrcnn.distributed import average

Features = dict[str, Tensor]


def split(features: Features, count: int) -> tuple[Features, Features]:
    """The features of the first ``count`` images of a batch, and of the others."""
    # Split rather than slice: the gradients of both halves are then joined once, instead of padded
    # with zeros and added.
    halves = {name: maps.split((count, len(maps) - count)) for name, maps in features.items()}
    return {name: h[0] for name, h in halves.items()}, {name: h[1] for name, h in halves.items()}


def normaliser(count: int | Tensor, device: torch.device) -> Tensor:
    """The mean over ranks of a count, at least 1: dividing each rank's sum by it makes the mean of
    the ranks' losses the global loss."""
    return average(torch.as_tensor(count, dtype=torch.float32, device=device).clone()).clamp(min=1)


def sample_balanced(
    labels: Tensor, count: int, positive_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw at most ``count`` of the candidates, at most ``positive_share`` of them positive (Faster
    R-CNN, section 3.1.3).

    Args:
        labels: ``(N,)``: > 0 positive, 0 negative, < 0 ignored.

    Returns:
        Sorted int64 indices of the positives and of the negatives.
    """
    positive, negative = torch.where(labels > 0)[0], torch.where(labels == 0)[0]
    positives = min(len(positive), int(count * positive_share))
    negatives = min(len(negative), count - positives)
    chosen = []
    for candidates, take in ((positive, positives), (negative, negatives)):
        order = torch.randperm(len(candidates), generator=generator)[:take].to(labels.device)
        chosen.append(candidates[order].sort().values)
    return chosen[0], chosen[1]


def inside_crowd(boxes: Tensor, crowd: Tensor) -> Tensor:
    """Bool ``(N,)``: more than half of the box lies in one of the crowd boxes, so that it says
    nothing about background."""
    top_left = torch.maximum(boxes[:, None, :2], crowd[:, :2])
    overlap = (torch.minimum(boxes[:, None, 2:], crowd[:, 2:]) - top_left).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=1e-6)
    return (overlap > 0.5 * area[:, None]).any(1)


@dataclass
class AnchorOutputs:
    """What the RPN says of every anchor, before any selection; A anchors over all levels.

    Attributes:
        objectness: float32 logits ``(N, A)``.
        deltas: float32 ``(N, A, 4)``, the regression relative to each anchor.
        anchors: per image float32 ``(A, 4)``, xyxy in pixels of the padded batch.
        per_level: the anchors of each level; they add up to A.
    """

    objectness: Tensor
    deltas: Tensor
    anchors: list[Tensor]
    per_level: list[int]


class RegionProposalNetwork(rpn.RegionProposalNetwork):
    """Proposals and the two RPN losses; see the module's docstring for what differs from
    torchvision."""

    dtype: torch.dtype | None = None

    def forward(  # type: ignore[override]
        self,
        images: ImageList,
        features: Features,
        objects: Sequence[Annotations] | None = None,
        seeds: Sequence[int] = (),
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals per image (float32 ``(n, 4)``, xyxy in pixels of the padded batch) and, given
        objects, the losses."""
        outputs = self.outputs(images, features)
        proposals = self.propose(outputs, images.image_sizes)
        return proposals, {} if objects is None else self._losses(outputs, objects, seeds)

    def outputs(self, images: ImageList, features: Features) -> AnchorOutputs:
        """Objectness and deltas of every anchor."""
        maps = list(features.values())
        objectness, deltas = run_network(self.head, maps, dtype=self.dtype)
        anchors = self.anchor_generator(images, maps)
        per_level = [o[0].numel() for o in objectness]
        objectness, deltas = rpn.concat_box_prediction_layers(objectness, deltas)
        return AnchorOutputs(
            objectness.view(len(anchors), -1), deltas.view(len(anchors), -1, 4), anchors, per_level
        )

    @torch.no_grad()
    def propose(self, outputs: AnchorOutputs, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The best boxes of each image: float32 ``(n, 4)``, xyxy, clipped to the image;
        detached."""
        objectness, deltas, anchors = (
            outputs.objectness.detach(),
            outputs.deltas.detach(),
            outputs.anchors,
        )
        # The best of each level are picked first and only those decoded: the same proposals for a
        # small part of the work.
        best = self._get_top_n_idx(objectness, outputs.per_level)
        per_level = torch.tensor(outputs.per_level)
        levels = torch.repeat_interleave(torch.arange(len(per_level)), per_level).to(
            objectness.device
        )
        proposals = []
        for image, size in enumerate(sizes):
            index = best[image]
            boxes = self.box_coder.decode(deltas[image][index], [anchors[image][index]])[:, 0]
            boxes = clip_boxes_to_image(boxes, size)
            keep = remove_small_boxes(boxes, self.min_size)
            boxes, scores, level = (
                boxes[keep],
                objectness[image][index][keep].sigmoid(),
                levels[index][keep],
            )
            keep = batched_nms(boxes, scores, level, self.nms_thresh)[: self.post_nms_top_n()]
            proposals.append(boxes[keep])
        return proposals

    def _losses(
        self, outputs: AnchorOutputs, objects: Sequence[Annotations], seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        objectness, deltas, anchors = outputs.objectness, outputs.deltas, outputs.anchors
        objectness_sum, box_sum, sampled = objectness.sum() * 0, deltas.sum() * 0, 0
        for image, (found, seed) in enumerate(zip(objects, seeds, strict=True)):
            positive, negative, labels, matched = self.select(anchors[image], found, seed)
            chosen = torch.cat((positive, negative))
            sampled += len(chosen)
            objectness_sum = objectness_sum + F.binary_cross_entropy_with_logits(
                objectness[image][chosen], labels[chosen], reduction="sum"
            )
            if len(positive):
                regression = self.box_coder.encode_single(
                    matched[positive], anchors[image][positive]
                )
                box_sum = box_sum + F.smooth_l1_loss(
                    deltas[image][positive], regression, beta=1 / 9, reduction="sum"
                )
        count = normaliser(sampled, objectness.device)
        return {"loss_objectness": objectness_sum / count, "loss_rpn_box_reg": box_sum / count}

    @torch.no_grad()
    def select(
        self, anchors: Tensor, found: Annotations, seed: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sample the anchors of one image that enter the losses.

        Returns:
            Indices of the positives and of the negatives; of all anchors the label (1, 0, -1 =
            ignored) and the matched box.
        """
        truth, crowd = found.boxes[~found.crowd], found.boxes[found.crowd]
        labels, matched = (
            v[0] for v in self.assign_targets_to_anchors([anchors], [{"boxes": truth}])
        )
        if len(crowd):
            labels[(labels == 0) & inside_crowd(anchors, crowd)] = -1
        generator = torch.Generator().manual_seed(seed)
        sampler = self.fg_bg_sampler
        positive, negative = sample_balanced(
            labels, sampler.batch_size_per_image, sampler.positive_fraction, generator
        )
        return positive, negative, labels, matched


class RoIHeads(roi_heads.RoIHeads):
    """Box and mask heads with their losses; see the module's docstring for what differs from
    torchvision."""

    dtype: torch.dtype | None = None
    mask_roi_pool: nn.Module
    mask_head: nn.Module
    mask_predictor: nn.Module

    def losses(
        self,
        features: Features,
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        objects: Sequence[Annotations],
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """Classification, box and mask loss of Mask R-CNN (He et al., ICCV 2017, section 3)."""
        chosen = [self.select(p, o, s) for p, o, s in zip(proposals, objects, seeds, strict=True)]
        rois = [boxes for boxes, _, _ in chosen]
        labels = torch.cat([label for _, label, _ in chosen])
        logits, deltas = self.box_outputs(features, rois, sizes)

        device = logits.device
        positive = torch.where(labels > 0)[0]
        truth = [
            o.boxes[index]
            for o, (_, label, index) in zip(objects, chosen, strict=True)
            for index in [index[label > 0]]
        ]
        regression = self.box_coder.encode(truth, [boxes[label > 0] for boxes, label, _ in chosen])
        predicted = deltas.view(len(labels), logits.shape[1], 4)[positive, labels[positive]]
        count = normaliser(len(labels), device)
        return {
            "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / count,
            "loss_box_reg": F.smooth_l1_loss(
                predicted, torch.cat(regression), beta=1 / 9, reduction="sum"
            )
            / count,
            "loss_mask": self._mask_loss(features, chosen, objects, sizes),
        }

    def detect(
        self, features: Features, proposals: list[Tensor], sizes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """Boxes, labels (1-based), scores and masks (probabilities, ``(n, 1, 28, 28)``) per image,
        in pixels of the padded batch."""
        logits, deltas = self.box_outputs(features, proposals, sizes)
        boxes, scores, labels = self.postprocess_detections(logits, deltas, proposals, sizes)
        masks = roi_heads.maskrcnn_inference(self.mask_outputs(features, boxes, sizes), labels)
        keys = ("boxes", "labels", "scores", "masks")
        return [
            dict(zip(keys, values, strict=True))
            for values in zip(boxes, labels, scores, masks, strict=True)
        ]

    @torch.no_grad()
    def select(
        self, proposals: Tensor, objects: Annotations, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The sampled RoIs ``(n, 4)``, their labels (0 = background) and the index of the object
        that each one matches."""
        real = torch.where(~objects.crowd)[0]
        boxes = torch.cat((proposals, objects.boxes[real]))
        if len(real):
            matches = self.proposal_matcher(box_iou(objects.boxes[real], boxes))
            index = real[matches.clamp(min=0)]
            labels = objects.labels[index] + 1
            labels[matches == self.proposal_matcher.BELOW_LOW_THRESHOLD] = 0
            labels[matches == self.proposal_matcher.BETWEEN_THRESHOLDS] = -1
        else:
            index = labels = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        if objects.crowd.any():
            labels = labels.masked_fill(
                (labels == 0) & inside_crowd(boxes, objects.boxes[objects.crowd]), -1
            )
        sampler = self.fg_bg_sampler
        # The RPN's sampler used the seed itself: another stream for the RoIs.
        generator = torch.Generator().manual_seed(seed ^ 0x5DEECE66D)
        keep = torch.cat(
            sample_balanced(
                labels, sampler.batch_size_per_image, sampler.positive_fraction, generator
            )
        )
        return boxes[keep], labels[keep], index[keep]

    def box_outputs(
        self, features: Features, rois: list[Tensor], sizes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Class logits ``(R, C + 1)`` and deltas ``(R, 4 (C + 1))`` of all RoIs, float32; the
        images' RoIs in turn."""
        pooled = self.box_roi_pool(features, rois, sizes)
        return run_network(
            nn.Sequential(self.box_head, self.box_predictor), pooled, dtype=self.dtype
        )

    def mask_outputs(
        self, features: Features, rois: list[Tensor], sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Mask logits ``(R, C + 1, 28, 28)`` of all RoIs, float32."""
        pooled = self.mask_roi_pool(features, rois, sizes)
        return run_network(
            nn.Sequential(self.mask_head, self.mask_predictor), pooled, dtype=self.dtype
        )

    def _mask_loss(
        self,
        features: Features,
        chosen: list[tuple[Tensor, Tensor, Tensor]],
        objects: Sequence[Annotations],
        sizes: list[tuple[int, int]],
    ) -> Tensor:
        rois, labels, targets = [], [], []
        for (boxes, label, index), found in zip(chosen, objects, strict=True):
            keep = torch.where(label > 0)[0]
            keep = keep[found.has_mask[index[keep]]]
            rois.append(boxes[keep])
            labels.append(label[keep])
            if len(keep):
                masks = found.masks.to(torch.float32)
                targets.append(
                    roi_heads.project_masks_on_boxes(masks, boxes[keep], index[keep], 28)
                )
        count = normaliser(sum(map(len, rois)), rois[0].device)
        logits = self.mask_outputs(features, rois, sizes)
        if not targets:
            # every parameter still takes part, as distributed training requires
            return logits.sum() * 0
        label = torch.cat(labels)
        logits = logits[torch.arange(len(label), device=label.device), label]
        return F.binary_cross_entropy_with_logits(logits, torch.cat(targets), reduction="sum") / (
            count * logits[0].numel()
        )
