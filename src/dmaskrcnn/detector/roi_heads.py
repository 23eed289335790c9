"""torchvision's box and mask heads with the changes that `rpn` lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import roi_heads
from torchvision.ops import box_iou

from dmaskrcnn.data.packed_masks import NOTHING, Crop, PackedMasks
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detector.limits import USUAL, Limits
from dmaskrcnn.detector.precision import run_network
from dmaskrcnn.detector.pyramid import Features
from dmaskrcnn.detector.sampling import inside_crowd, normaliser, sample_balanced


class RoIHeads(roi_heads.RoIHeads):
    """Box and mask heads with their losses."""

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

        positive = torch.where(labels > 0)[0]
        truth = [
            o.boxes[index[label > 0]] for o, (_, label, index) in zip(objects, chosen, strict=True)
        ]
        regression = self.box_coder.encode(truth, [boxes[label > 0] for boxes, label, _ in chosen])
        predicted = deltas.view(len(labels), logits.shape[1], 4)[positive, labels[positive]]
        # beta as in torchvision, with which the tests compare every loss
        box_loss = F.smooth_l1_loss(predicted, torch.cat(regression), reduction="sum", beta=1 / 9)
        count = normaliser(len(labels), logits.device)
        return {
            "classifier": F.cross_entropy(logits, labels, reduction="sum") / count,
            "box_reg": box_loss / count,
            "mask": self._mask_loss(features, chosen, objects, sizes),
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
            unknown = (labels == 0) & inside_crowd(boxes, objects.boxes[objects.crowd])
            labels = labels.masked_fill(unknown, -1)
        sampler = self.fg_bg_sampler
        # The RPN's sampler used the seed itself: another stream for the RoIs. Any constant would
        # do; this one is the multiplier of drand48.
        generator = torch.Generator().manual_seed(seed ^ 0x5DEECE66D)
        limits = sampler.batch_size_per_image, sampler.positive_fraction
        keep = torch.cat(sample_balanced(labels, *limits, generator))
        return boxes[keep], labels[keep], index[keep]

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
                true = found.masks.float(), boxes[keep], index[keep]
                targets.append(roi_heads.project_masks_on_boxes(*true, 28))
        count = normaliser(sum(map(len, rois)), rois[0].device)
        logits = self.mask_outputs(features, rois, sizes)
        if not targets:
            # every parameter still takes part, as distributed training requires
            return logits.sum() * 0
        label = torch.cat(labels)
        logits = logits[torch.arange(len(label), device=label.device), label]
        loss = F.binary_cross_entropy_with_logits(logits, torch.cat(targets), reduction="sum")
        return loss / (count * logits[0].numel())


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
