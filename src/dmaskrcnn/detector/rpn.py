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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import rpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms

from dmaskrcnn.detector.assignment import Truth, match
from dmaskrcnn.detector.boxes import clipped, wanted_deltas
from dmaskrcnn.detector.nms import one_by_one, ranked_nms
from dmaskrcnn.detector.precision import run_network
from dmaskrcnn.detector.pyramid import Features
from dmaskrcnn.detector.sampling import Sampled, normaliser, sample_balanced

# paddings of a batch whose anchors are remembered
REMEMBERED = 16


@dataclass
class AnchorOutputs:
    """What the RPN says of every anchor, before any selection; A anchors over all levels.

    Attributes:
        objectness: float32 logits ``(N, A)``.
        deltas: float32 ``(N, A, 4)``, the regression relative to each anchor.
        anchors: float32 ``(A, 4)``, xyxy in pixels of the padded batch, of every image alike.
        per_level: the anchors of each level; they add up to A.
    """

    objectness: Tensor
    deltas: Tensor
    anchors: Tensor
    per_level: list[int]

    def at(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Objectness ``(N, K)``, deltas and anchors ``(N, K, 4)`` of the anchors ``(N, K)``."""
        deltas = self.deltas.take_along_dim(index[:, :, None], 1)
        return self.objectness.gather(1, index), deltas, self.anchors[index]


@dataclass
class Proposals:
    """The boxes of N images that may hold an object, by falling objectness.

    Attributes:
        boxes: float32 ``(N, P, 4)``, xyxy in pixels of the padded batch, clipped to the image.
        valid: bool ``(N, P)``: the first of each row; the rest has no area.
    """

    boxes: Tensor
    valid: Tensor

    def per_image(self) -> list[Tensor]:
        """Those of each image: float32 ``(n, 4)``."""
        return [boxes[valid] for boxes, valid in zip(self.boxes, self.valid, strict=True)]


class RegionProposalNetwork(rpn.RegionProposalNetwork):
    """Proposals and the two RPN losses."""

    dtype: torch.dtype | None = None

    def forward(  # type: ignore[override]
        self,
        images: ImageList,
        features: Features,
        truth: Truth | None = None,
        seeds: Sequence[int] = (),
    ) -> tuple[Proposals, dict[str, Tensor]]:
        """Proposals and, given objects, the losses."""
        outputs = self.outputs(images, features)
        proposals = self.propose(outputs, images.image_sizes)
        return proposals, {} if truth is None else self._losses(outputs, truth, seeds)

    def outputs(self, images: ImageList, features: Features) -> AnchorOutputs:
        """Objectness and deltas of every anchor."""
        maps = list(features.values())
        objectness, deltas = run_network(self.head, maps, dtype=self.dtype)
        per_level = [o[0].numel() for o in objectness]
        count = len(maps[0])
        objectness, deltas = rpn.concat_box_prediction_layers(objectness, deltas)
        deltas = deltas.view(count, -1, 4)
        anchors = self._anchors(images.tensors, maps)
        return AnchorOutputs(objectness.view(count, -1), deltas, anchors, per_level)

    def _anchors(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """Anchors of one padding, laid once: forty launches on a GPU each time."""
        known: dict[object, Tensor] = self.__dict__.setdefault("_known_anchors", {})
        shapes = tuple(tuple(m.shape[-2:]) for m in maps)
        # tensors of the inference mode cannot serve a training
        key = images.shape[-2:], shapes, images.device, torch.is_inference_mode_enabled()
        if key not in known:
            if len(known) >= REMEMBERED:
                known.clear()
            one = ImageList(images[:1], [(int(images.shape[-2]), int(images.shape[-1]))])
            # it takes their precision: bfloat16 has steps of 2 px from 256 on, and of 8 from 1,024
            exact = [m.new_empty((1, 1, *m.shape[-2:]), dtype=torch.float32) for m in maps]
            known[key] = self.anchor_generator(one, exact)[0]
        return known[key]

    @torch.no_grad()
    def propose(self, outputs: AnchorOutputs, sizes: Sequence[tuple[int, int]]) -> Proposals:
        """The best boxes of each image; detached."""
        # The best of each level are picked first and only those decoded: the same proposals for a
        # small part of the work.
        index = self._get_top_n_idx(outputs.objectness.detach(), outputs.per_level)
        scores, deltas, anchors = outputs.at(index)
        boxes = self.box_coder.decode_single(deltas.reshape(-1, 4), anchors.reshape(-1, 4))
        boxes = clipped(boxes.view(len(sizes), -1, 4), sizes)
        large = (boxes[..., 2:] - boxes[..., :2] >= self.min_size).all(2)
        counts = [min(self.pre_nms_top_n(), count) for count in outputs.per_level]
        if one_by_one(boxes.device):
            return self._best_one_by_one(boxes, scores.sigmoid(), large, counts)
        stay = self._staying(boxes, large, counts)
        # of those that do not stay none comes before any that does
        scores = scores.sigmoid().masked_fill(~stay, -1)
        most = min(self.post_nms_top_n(), scores.shape[1])
        scores, best = scores.topk(most)
        valid = scores >= 0
        boxes = boxes.take_along_dim(best[:, :, None], 1)
        return Proposals(boxes * valid[:, :, None], valid)

    def _best_one_by_one(
        self, boxes: Tensor, scores: Tensor, large: Tensor, counts: list[int]
    ) -> Proposals:
        """As torchvision: a CPU would spend long on `ranked_nms`' overlaps."""
        levels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        # behind all others, where they hide none
        scores = scores.masked_fill(~large, -1)
        found = []
        for own, score, valid in zip(boxes, scores, large, strict=True):
            keep = batched_nms(own, score, levels, self.nms_thresh)[: self.post_nms_top_n()]
            found.append(own[keep] * valid[keep, None])
        padded = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
        return Proposals(padded, padded[..., 2] > padded[..., 0])

    def _staying(self, boxes: Tensor, large: Tensor, counts: list[int]) -> Tensor:
        """Bool ``(N, K)``: what no better box of its level hides; each level's boxes by falling
        score, as ``topk`` gives them."""
        images, levels, most = len(boxes), len(counts), max(counts)
        # of each level its own list, as long as the longest
        place = np.concatenate([k * most + np.arange(count) for k, count in enumerate(counts)])
        index = torch.from_numpy(place).to(boxes.device, non_blocking=True)
        lists = boxes.new_zeros(images, levels * most, 4).index_copy_(1, index, boxes)
        valid = large.new_zeros(images, levels * most).index_copy_(1, index, large)
        stay = ranked_nms(lists.view(-1, most, 4), valid.view(-1, most), self.nms_thresh)
        return stay.view(images, -1).index_select(1, index)

    def _losses(
        self, outputs: AnchorOutputs, truth: Truth, seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        sampled, matched = self.select(outputs.anchors, truth, seeds)
        said, deltas, anchors = outputs.at(sampled.index)
        first, valid = sampled.positives, sampled.valid
        positive = valid[:, :first]
        wanted = torch.zeros_like(said)
        wanted[:, :first] = 1
        anchors = anchors[:, :first]
        targets = wanted_deltas(self.box_coder, matched, anchors, positive)
        objectness = F.binary_cross_entropy_with_logits(said, wanted, reduction="none")
        boxes = F.smooth_l1_loss(deltas[:, :first], targets, reduction="none", beta=1 / 9)
        count = normaliser(valid.sum(), said.device)
        return {
            "objectness": (objectness * valid).sum() / count,
            "rpn_box_reg": (boxes * positive[:, :, None]).sum() / count,
        }

    @torch.no_grad()
    def select(self, anchors: Tensor, truth: Truth, seeds: Sequence[int]) -> tuple[Sampled, Tensor]:
        """Sample the anchors that enter the losses.

        Returns:
            The anchors; and the box that each positive one matches: float32 ``(N, positives, 4)``.
        """
        matcher = self.proposal_matcher
        labels, index = match(
            truth, anchors, matcher.high_threshold, matcher.low_threshold, low_quality=True
        )
        limits = self.fg_bg_sampler.batch_size_per_image, self.fg_bg_sampler.positive_fraction
        sampled = sample_balanced(labels, *limits, seeds)
        objects = index.gather(1, sampled.index[:, : sampled.positives])
        return sampled, truth.boxes.take_along_dim(objects[:, :, None], 1)
