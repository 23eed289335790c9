"""The inference of a detector as one graph for tracing: one picture in, its objects out.

The networks, the anchors and RoIAlign are the detector's own. Selection is written anew: what
`Detector.predict` does with lists, in-place writes and the two ways of torchvision's
``batched_nms`` (pytorch/vision #9321: it takes another one while tracing) is here a few lines that
keep every size open.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image, nms

from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.transform import IMAGENET_MEAN, IMAGENET_STD

STRIDE = 32  # of P5: what the padded size is a multiple of
# log of the largest growth of a box, as of torchvision's BoxCoder
LARGEST = math.log(1000 / 16)
RPN_WEIGHTS, BOX_WEIGHTS = (1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)
LEAST_SIDE = 1e-2  # px; of torchvision's boxes, smaller ones are dropped


class DetectorGraph(nn.Module):
    """What is exported.

    Args:
        detector: its networks are used, in float32; it is put into evaluation mode.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector.eval()
        detector.set_precision("float32")
        scale = torch.tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 1, 3, 1, 1) * 255
        self.scale: Tensor
        self.register_buffer("scale", scale, persistent=False)

    def forward(
        self, image: Tensor, box_score: Tensor, mask_score: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find objects.

        Args:
            image: uint8 ``(H, W, 3)``, RGB, at the size that `Detector.resize` gives.
            box_score: float32 ``()``: boxes above it count.
            mask_score: float32 ``()``: boxes of at least this score get a mask, and the best one.

        Returns:
            By falling score: boxes float32 ``(n, 4)``, xyxy in pixels of ``image``; 0-based labels
            int64 ``(n,)``; scores float32 ``(n,)``; and of the first m the masks, probabilities
            ``(m, 28, 28)``.
        """
        detector = self.detector
        height, width = image.shape[0], image.shape[1]
        pixels = image.permute(2, 0, 1)[None].float()
        pixels = (pixels - self.scale[0]) / self.scale[1]
        below, right = (-height) % STRIDE, (-width) % STRIDE
        batch = ImageList(F.pad(pixels, (0, right, 0, below)), [(height, width)])
        features = detector.backbone(batch.tensors)
        proposals = self.propose(batch, features)
        logits, deltas = detector.roi_heads.box_outputs(features, [proposals], batch.image_sizes)
        boxes, labels, scores = self.select(logits, deltas, proposals, (height, width), box_score)
        best = torch.cat([scores, mask_score[None]])[0]
        count: Any = (scores >= torch.minimum(mask_score, best)).sum()
        # one more, cut off again: runtimes differ in what they do with none
        padded = torch.cat([boxes, boxes.new_tensor([[0.0, 0.0, 1.0, 1.0]])])
        rois = padded[torch.arange(count + 1, device=boxes.device)]
        masks = detector.roi_heads.mask_outputs(features, [rois], batch.image_sizes)
        of = torch.cat([labels, labels.new_zeros(1)])[: count + 1] + 1
        masks = masks.gather(1, of[:, None, None, None].expand(-1, 1, 28, 28))[:count, 0]
        return boxes, labels, scores, masks.sigmoid()

    def propose(self, batch: ImageList, features: dict[str, Tensor]) -> Tensor:
        """`RegionProposalNetwork.propose` for one image: ``(n, 4)``."""
        rpn: Any = self.detector.rpn
        maps = list(features.values())
        objectness, deltas = rpn.head(maps)
        anchors = rpn.anchor_generator(batch, maps)[0]
        found, start = [], 0
        for level, (score, delta) in enumerate(zip(objectness, deltas, strict=True)):
            score = score.permute(0, 2, 3, 1).reshape(-1)
            count = score.shape[0]
            delta = delta.view(1, -1, 4, delta.shape[-2], delta.shape[-1])
            delta = delta.permute(0, 3, 4, 1, 2).reshape(-1, 4)
            top, index = score.topk(_least(rpn.pre_nms_top_n(), count))
            boxes = decode(delta[index], anchors[start + index], RPN_WEIGHTS)
            found.append((boxes, top, torch.full_like(top, level)))
            start = start + count
        boxes, scores, levels = (torch.cat(parts) for parts in zip(*found, strict=True))
        size = batch.image_sizes[0]
        boxes = clip_boxes_to_image(boxes, size)
        keep = torch.where(((boxes[:, 2:] - boxes[:, :2]) >= rpn.min_size).all(1))[0]
        boxes, scores, levels = boxes[keep], scores[keep].sigmoid(), levels[keep]
        keep = separate_nms(boxes, scores, levels, rpn.nms_thresh)
        return boxes[keep[: rpn.post_nms_top_n()]]

    def select(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: Tensor,
        size: tuple[int, int],
        box_score: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`RoIHeads.postprocess_detections` for one image: boxes, 0-based labels, scores."""
        heads: Any = self.detector.roi_heads
        classes = len(self.detector.classes)
        scores = logits.softmax(-1)[:, 1:].reshape(-1)
        deltas = deltas.view(-1, classes + 1, 4)[:, 1:].reshape(-1, 4)
        references = proposals[:, None].expand(-1, classes, 4).reshape(-1, 4)
        boxes = clip_boxes_to_image(decode(deltas, references, BOX_WEIGHTS), size)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= LEAST_SIDE).all(1)
        keep = torch.where((scores > box_score) & large)[0]
        boxes, scores, labels = boxes[keep], scores[keep], keep % classes
        keep = separate_nms(boxes, scores, labels.to(boxes.dtype), heads.nms_thresh)
        keep = keep[: heads.detections_per_img]
        return boxes[keep], labels[keep], scores[keep]


def separate_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """NMS within groups, by moving each group to a place of its own; indices by falling score."""
    room = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max() + 1  # there may be no box
    return nms(boxes + (groups * room)[:, None], scores, threshold)


def decode(deltas: Tensor, boxes: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Boxes ``(n, 4)`` moved and scaled by what a regression says (Faster R-CNN, eq. 2)."""
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(1)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = boxes[:, 0] + 0.5 * width + dx * width, boxes[:, 1] + 0.5 * height + dy * height
    half_width = 0.5 * width * dw.clamp(max=LARGEST).exp()
    half_height = 0.5 * height * dh.clamp(max=LARGEST).exp()
    corners = x - half_width, y - half_height, x + half_width, y + half_height
    return torch.stack(corners, 1)


def _least(most: int, count: Any) -> Any:
    """The smaller of both, as a tensor that tracing follows."""
    return torch.minimum(torch.as_tensor(count), torch.tensor(most))
