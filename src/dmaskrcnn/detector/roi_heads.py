"""torchvision's box and mask heads with the changes that `rpn` lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import roi_heads

from dmaskrcnn.data.packed_masks import NOTHING, Crop, PackedMasks
from dmaskrcnn.detector.assignment import Truth, match
from dmaskrcnn.detector.boxes import clipped, wanted_deltas
from dmaskrcnn.detector.limits import USUAL, Limits
from dmaskrcnn.detector.nms import grouped_nms
from dmaskrcnn.detector.precision import run_network
from dmaskrcnn.detector.pyramid import Features
from dmaskrcnn.detector.rpn import Proposals
from dmaskrcnn.detector.sampling import normaliser, sample_balanced

# of a box, in px: torchvision's
LEAST_SIDE = 0.01


@dataclass
class ChosenRoIs:
    """The RoIs of N images that enter the losses, K in each.

    Attributes:
        boxes: float32 ``(N, K, 4)``, xyxy in pixels of the padded batch.
        labels: int64 ``(N, K)``: 1-based class, 0 background, −1 where fewer than K were found; the
            positive ones come first.
        index: int64 ``(N, K)``, the object that each one matches.
        positives: the most that an image may have.
    """

    boxes: Tensor
    labels: Tensor
    index: Tensor
    positives: int


class RoIHeads(roi_heads.RoIHeads):
    """Box and mask heads with their losses."""

    dtype: torch.dtype | None = None
    mask_roi_pool: nn.Module
    mask_head: nn.Module
    mask_predictor: nn.Module

    def losses(
        self,
        features: Features,
        proposals: Proposals,
        sizes: list[tuple[int, int]],
        truth: Truth,
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """Classification, box and mask loss of Mask R-CNN (He et al., ICCV 2017, section 3)."""
        chosen = self.select(proposals, truth, seeds)
        logits, deltas = self.box_outputs(features, list(chosen.boxes), sizes)
        labels, first = chosen.labels, chosen.positives
        positive = labels[:, :first] > 0

        of_class = take_class(deltas, labels, first)
        rois, objects = chosen.boxes[:, :first], chosen.index[:, :first]
        boxes = truth.boxes.take_along_dim(objects[:, :, None], 1)
        wanted = wanted_deltas(self.box_coder, boxes, rois, positive)
        # beta as in torchvision, with which the tests compare every loss
        box_loss = F.smooth_l1_loss(of_class, wanted, reduction="none", beta=1 / 9)
        count = normaliser((labels >= 0).sum(), logits.device)
        classified = F.cross_entropy(logits, labels.flatten(), reduction="sum", ignore_index=-1)
        return {
            "classifier": classified / count,
            "box_reg": (box_loss * positive[:, :, None]).sum() / count,
            "mask": self._mask_loss(features, chosen, truth, sizes),
        }

    def detect(
        self,
        features: Features,
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        limits: Limits = USUAL,
        threshold: float = 0.0,
        best: bool = False,
    ) -> list[dict[str, Tensor]]:
        """Boxes, labels (1-based) and scores per image by falling score, in pixels of the padded
        batch: of those whose score reaches the threshold, and with ``best`` the best one; masks
        (probabilities, ``(m, 1, 28, 28)``) of the first m, whose score is high enough for one."""
        logits, deltas = self.box_outputs(features, proposals, sizes)
        usual = self.score_thresh
        try:
            self.score_thresh = usual if limits.box is None else limits.box
            boxes, scores, labels = self.postprocess_detections(logits, deltas, proposals, sizes)
        finally:
            self.score_thresh = usual
        # the mask head runs for what is returned
        returned = [max(int((score >= threshold).sum()), min(best, len(score))) for score in scores]
        boxes, labels, scores = (
            [values[:count] for values, count in zip(of_each, returned, strict=True)]
            for of_each in (boxes, labels, scores)
        )
        counts = [int((score >= limits.mask).sum()) for score in scores]
        first = [box[:count] for box, count in zip(boxes, counts, strict=True)]
        of_first = [label[:count] for label, count in zip(labels, counts, strict=True)]
        masks = roi_heads.maskrcnn_inference(self.mask_outputs(features, first, sizes), of_first)
        keys = ("boxes", "labels", "scores", "masks")
        return [
            dict(zip(keys, values, strict=True))
            for values in zip(boxes, labels, scores, masks, strict=True)
        ]

    @torch.no_grad()
    def confident(
        self,
        features: Features,
        proposals: Proposals,
        sizes: list[tuple[int, int]],
        least: float,
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Boxes, labels (1-based) and scores per image by falling score, of those that reach
        ``least`` > ``score_thresh``: what `detect` finds, for a GPU that is waited for three times
        whatever the number of images."""
        logits, deltas = self.box_outputs(features, list(proposals.boxes), sizes)
        images, count, _ = proposals.boxes.shape
        classes = logits.shape[1] - 1
        boxes = self.box_coder.decode_single(deltas, proposals.boxes.view(-1, 4))
        boxes = clipped(boxes.view(images, -1, 4), sizes)
        boxes = boxes.view(images, count, classes + 1, 4)[:, :, 1:]
        scores = logits.softmax(1).view(images, count, classes + 1)[:, :, 1:]
        large = (boxes[..., 2:] - boxes[..., :2] >= LEAST_SIDE).all(3)
        found = ((scores >= least) & large & proposals.valid[:, :, None]).nonzero()
        image, proposal, label = found.unbind(1)
        boxes, scores = boxes[image, proposal, label], scores[image, proposal, label]
        keep = grouped_nms(boxes, scores, image * classes + label, self.nms_thresh)
        of_image = image[keep].cpu()
        rows = [(of_image == i).nonzero()[: self.detections_per_img, 0] for i in range(images)]
        kept = keep[torch.cat(rows).to(keep.device, non_blocking=True)]
        values = (boxes[kept], label[kept] + 1, scores[kept])
        return list(zip(*(v.split([len(r) for r in rows]) for v in values), strict=True))

    @torch.no_grad()
    def select(self, proposals: Proposals, truth: Truth, seeds: Sequence[int]) -> ChosenRoIs:
        """Sample the RoIs that enter the losses, from proposals and objects."""
        boxes = torch.cat((proposals.boxes, truth.boxes), 1)
        there = torch.cat((proposals.valid, truth.real), 1)
        matcher, sampler = self.proposal_matcher, self.fg_bg_sampler
        kinds, index = match(truth, boxes, matcher.high_threshold, matcher.low_threshold)
        labels = torch.where(kinds > 0, truth.labels.gather(1, index) + 1, kinds)
        # The RPN's sampler used the seed itself: another stream for the RoIs. Any constant would
        # do; this one is the multiplier of drand48.
        sampled = sample_balanced(
            labels.masked_fill(~there, -1),
            sampler.batch_size_per_image,
            sampler.positive_fraction,
            [seed ^ 0x5DEECE66D for seed in seeds],
        )
        # empty columns behind all others, and cut off
        count = min(sampler.batch_size_per_image, boxes.shape[1])
        order = (~sampled.valid).byte().argsort(stable=True)[:, :count]
        keep, valid = sampled.index.gather(1, order), sampled.valid.gather(1, order)
        return ChosenRoIs(
            boxes.take_along_dim(keep[:, :, None], 1),
            labels.gather(1, keep).masked_fill(~valid, -1),
            index.gather(1, keep),
            min(sampled.positives, count),
        )

    def box_outputs(
        self, features: Features, rois: list[Tensor], sizes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Class logits ``(R, C + 1)`` and deltas ``(R, 4 (C + 1))`` of all RoIs, float32; the
        images' RoIs in turn."""
        network = nn.Sequential(self.box_head, self.box_predictor)
        return run_network(network, self.box_roi_pool(features, rois, sizes), dtype=self.dtype)

    def mask_outputs(
        self, features: Features, rois: list[Tensor], sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Mask logits ``(R, C + 1, 28, 28)`` of all RoIs, float32."""
        network = nn.Sequential(self.mask_head, self.mask_predictor)
        return run_network(network, self.mask_roi_pool(features, rois, sizes), dtype=self.dtype)

    def _mask_loss(
        self,
        features: Features,
        chosen: ChosenRoIs,
        truth: Truth,
        sizes: list[tuple[int, int]],
    ) -> Tensor:
        first = chosen.positives
        objects = chosen.index[:, :first]
        has_mask = (chosen.labels[:, :first] > 0) & truth.has_mask.gather(1, objects)
        rois, labels, objects = split_chosen(
            has_mask, chosen.boxes[:, :first], chosen.labels[:, :first], objects
        )
        logits = self.mask_outputs(features, rois, sizes)
        count = normaliser(len(logits), logits.device)
        if not len(logits):
            # every parameter still takes part, as distributed training requires
            return logits.sum() * 0
        targets = [
            roi_heads.project_masks_on_boxes(masks, boxes, index, 28)
            for masks, boxes, index in zip(truth.masks, rois, objects, strict=True)
            if len(boxes)
        ]
        label = torch.cat(labels)
        logits = logits[torch.arange(len(label), device=label.device), label]
        loss = F.binary_cross_entropy_with_logits(logits, torch.cat(targets), reduction="sum")
        return loss / (count * logits[0].numel())


def split_chosen(chosen: Tensor, *values: Tensor) -> tuple[list[Tensor], ...]:
    """Per image the chosen ones of each of the values ``(N, K, …)``. The one place of a training
    step where the CPU must know what a GPU has found: how many masks there are.

    Args:
        chosen: bool ``(N, K)``.
    """
    known = chosen.cpu()
    rows = known.flatten().nonzero()[:, 0].to(chosen.device, non_blocking=True)
    counts = known.sum(1).tolist()
    return tuple(list(value.flatten(0, 1)[rows].split(counts)) for value in values)


def take_class(deltas: Tensor, labels: Tensor, first: int) -> Tensor:
    """Of the deltas ``(N K, 4 (C + 1))`` those of the class of each of the ``first`` RoIs of every
    image: ``(N, first, 4)``; labels int64 ``(N, K)``."""
    images, count = labels.shape
    by_class = deltas.view(images, count, -1, 4)[:, :first]
    return by_class.take_along_dim(labels[:, :first, None, None].clamp(min=0), 2)[:, :, 0]


def paste_masks(masks: Tensor, boxes: Tensor, height: int, width: int) -> PackedMasks:
    """The masks (probabilities, ``(m, 1, 28, 28)``) of the first m of n boxes, in an image of this
    size; empty for the other boxes."""
    # As torchvision's paste_masks_in_image, to the bit, but inside the box alone: a frame of zeros
    # around the mask, for which the box grows. Its float32 frames of a hundred objects in 12
    # megapixels would be 5 GB, and took most of the time of a large picture.
    framed, scale = roi_heads.expand_masks(masks, padding=1)
    places = roi_heads.expand_boxes(boxes[: len(masks)], scale).to(torch.int64).tolist()
    crops = (_pasted(*one, height, width) for one in zip(framed, places, strict=True))
    rest = [NOTHING] * (len(boxes) - len(masks))
    return PackedMasks.of_crops(height, width, chain(crops, rest))


def _pasted(mask: Tensor, box: Sequence[int], height: int, width: int) -> Crop:
    left, top, right, bottom = box
    size = max(bottom - top + 1, 1), max(right - left + 1, 1)
    columns = slice(max(left, 0), min(right + 1, width))
    rows = slice(max(top, 0), min(bottom + 1, height))
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return NOTHING
    pasted = F.interpolate(mask[None], size, mode="bilinear", align_corners=False)[0, 0]
    pasted = pasted[rows.start - top : rows.stop - top]
    pasted = pasted[:, columns.start - left : columns.stop - left]
    return Crop(rows.start, columns.start, (pasted >= 0.5).cpu().numpy())
