"""torchvision's region proposal network with the changes that this project's Mask R-CNN has over
torchvision's, here and in `roi_heads`:

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
from torch import Tensor
from torchvision.models.detection import rpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detector.precision import run_network
from dmaskrcnn.detector.pyramid import Features
from dmaskrcnn.detector.sampling import inside_crowd, normaliser, sample_balanced


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
    """Proposals and the two RPN losses."""

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
        count = len(anchors)
        deltas = deltas.view(count, -1, 4)
        return AnchorOutputs(objectness.view(count, -1), deltas, anchors, per_level)

    @torch.no_grad()
    def propose(self, outputs: AnchorOutputs, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The best boxes of each image: float32 ``(n, 4)``, xyxy, clipped to the image;
        detached."""
        objectness, deltas = outputs.objectness.detach(), outputs.deltas.detach()
        # The best of each level are picked first and only those decoded: the same proposals for a
        # small part of the work.
        best = self._get_top_n_idx(objectness, outputs.per_level)
        per_level = torch.tensor(outputs.per_level)
        levels = torch.repeat_interleave(torch.arange(len(per_level)), per_level)
        levels = levels.to(objectness.device)
        proposals = []
        for image, size in enumerate(sizes):
            index = best[image]
            anchors = outputs.anchors[image][index]
            boxes = self.box_coder.decode(deltas[image][index], [anchors])[:, 0]
            boxes = clip_boxes_to_image(boxes, size)
            keep = remove_small_boxes(boxes, self.min_size)
            boxes, index = boxes[keep], index[keep]
            scores = objectness[image][index].sigmoid()
            keep = batched_nms(boxes, scores, levels[index], self.nms_thresh)
            proposals.append(boxes[keep[: self.post_nms_top_n()]])
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
                wanted = self.box_coder.encode_single(matched[positive], anchors[image][positive])
                said = deltas[image][positive]
                box_sum = box_sum + F.smooth_l1_loss(said, wanted, reduction="sum", beta=1 / 9)
        count = normaliser(sampled, objectness.device)
        return {"objectness": objectness_sum / count, "rpn_box_reg": box_sum / count}

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
        (labels,), (matched,) = self.assign_targets_to_anchors([anchors], [{"boxes": truth}])
        if len(crowd):
            labels[(labels == 0) & inside_crowd(anchors, crowd)] = -1
        generator = torch.Generator().manual_seed(seed)
        limits = self.fg_bg_sampler.batch_size_per_image, self.fg_bg_sampler.positive_fraction
        return *sample_balanced(labels, *limits, generator), labels, matched
