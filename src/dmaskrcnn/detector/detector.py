"""A Mask R-CNN: built from torchvision's parts, loaded, saved, and run on images. Knows nothing of
domains or training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.rpn import RPNHead
from torchvision.transforms.v2 import functional as transforms

from dmaskrcnn.data.augment import target_size
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.backbone import build_backbone
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.heads import Features, RegionProposalNetwork, RoIHeads
from dmaskrcnn.detector.precision import has_fast_bfloat16
from dmaskrcnn.detector.pyramid import LEVELS, STRIDES
from dmaskrcnn.detector.roi_align import MultiScaleRoIAlign
from dmaskrcnn.detector.weights import (
    check_and_load,
    download,
    load_backbone,
    load_whole,
    read_description,
    read_state,
)
from dmaskrcnn.distributed import largest
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, write_text

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Detector(nn.Module):
    """Mask R-CNN (He et al., ICCV 2017) on an FPN, with torchvision's names in its state dict.

    Args:
        classes: the class names, without background.
        config: the architecture.

    Attributes:
        classes: the class names; detections' labels index them.
        dtype: torch.bfloat16 to run the networks in mixed precision, None for float32 (see
            ``set_precision``).
    """

    dtype: torch.dtype | None = None

    def __init__(self, classes: Sequence[str], config: DetectorConfig | None = None) -> None:
        super().__init__()
        config = config or DetectorConfig()
        if not classes:
            raise UserError("classes: a detector needs at least one class name")
        self.classes = tuple(classes)
        self.config = config
        width, count = config.fpn_channels, len(classes) + 1

        self.backbone = build_backbone(config)
        anchors = AnchorGenerator(tuple((s,) for s in config.anchor_sizes), ((0.5, 1.0, 2.0),) * 5)
        # Thresholds of assignment and NMS as in the Faster and Mask R-CNN papers; the same in every
        # preset.
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(width, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=config.anchors_sampled,
            positive_fraction=0.5,
            pre_nms_top_n=dict(zip(("training", "testing"), config.pre_nms, strict=True)),
            post_nms_top_n=dict(zip(("training", "testing"), config.post_nms, strict=True)),
            nms_thresh=0.7,
        )
        self.roi_heads = RoIHeads(
            MultiScaleRoIAlign(list(LEVELS), output_size=7, sampling_ratio=2, strides=STRIDES),
            TwoMLPHead(width * 7 * 7, config.box_head_width),
            FastRCNNPredictor(config.box_head_width, count),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.rois_sampled,
            positive_fraction=config.rois_positive,
            bbox_reg_weights=None,
            score_thresh=config.min_score,
            nms_thresh=config.box_nms,
            detections_per_img=config.max_detections,
            mask_roi_pool=MultiScaleRoIAlign(
                list(LEVELS), output_size=14, sampling_ratio=2, strides=STRIDES
            ),
            mask_head=MaskRCNNHeads(width, (width,) * config.mask_head_layers, dilation=1),
            mask_predictor=MaskRCNNPredictor(width, width, count),
        )
        self.to(memory_format=torch.channels_last)

    # --- running it -------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def set_precision(self, precision: str = "auto") -> Detector:
        """``float32``; ``bf16`` for mixed precision; ``auto``: bf16 where the hardware multiplies
        it natively."""
        fast = precision == "bf16" or (precision == "auto" and has_fast_bfloat16(self.device))
        self.dtype = self.rpn.dtype = self.roi_heads.dtype = torch.bfloat16 if fast else None
        return self

    def resize(self, image: Tensor) -> Tensor:
        """The image (uint8 ``(3, H, W)``) at the size the network takes: short side ``image_size``,
        unless the long one exceeds ``max_size``."""
        height, width = target_size(
            image.shape[-2], image.shape[-1], self.config.image_size, self.config.max_size
        )
        return (
            image
            if image.shape[-2:] == (height, width)
            else transforms.resize(image, [height, width], antialias=True)
        )

    def normalise(self, images: Sequence[Tensor], size: Sequence[int] | None = None) -> ImageList:
        """uint8 images ``(3, H, W)`` → one float32 batch, padded below and right with zeros (the
        mean colour) to ``size`` (height, width), or else to multiples of 32."""
        if size is None:
            least = torch.tensor(
                [-(-max(i.shape[d] for i in images) // 32) * 32 for d in (1, 2)], device=self.device
            )
            # In training all processes pad alike, so that the result does not depend on who shares
            # a batch with whom.
            size = (largest(least) if self.training else least).tolist()
        height, width = size
        mean, std = (
            torch.tensor(v, device=self.device).view(3, 1, 1) * 255
            for v in (IMAGENET_MEAN, IMAGENET_STD)
        )
        batch = torch.zeros(len(images), 3, height, width, device=self.device).to(
            memory_format=torch.channels_last
        )
        for row, image in zip(batch, images, strict=True):
            row[:, : image.shape[1], : image.shape[2]] = (
                image.to(self.device).float() - mean
            ) / std
        return ImageList(batch, [(i.shape[1], i.shape[2]) for i in images])

    def features(self, images: ImageList) -> Features:
        """FPN maps "0".."3" (P2-P5) and "pool" (P6), each ``(N, C, H/stride, W/stride)``, bfloat16
        in mixed precision."""
        with torch.autocast(
            self.device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None
        ):
            return self.backbone(images.tensors)

    def losses(
        self,
        images: ImageList,
        features: Features,
        objects: Sequence[Annotations],
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """The five losses of Mask R-CNN: objectness, RPN box, class, box, mask.

        Args:
            images: the batch, for its sizes; ``features`` were computed from it.
            features: from ``features``.
            objects: what is in each image, in its pixels, on the device of the model.
            seeds: of the sampling of anchors and RoIs, one per image.
        """
        proposals, losses = self.rpn(images, features, objects, seeds)
        return losses | self.roi_heads.losses(
            features, proposals, images.image_sizes, objects, seeds
        )

    @overload
    def predict(self, images: Tensor | str | Path, threshold: float = ...) -> Detections: ...
    @overload
    def predict(self, images: Sequence[Any], threshold: float = ...) -> list[Detections]: ...
    @torch.inference_mode()
    def predict(self, images: Any, threshold: float = 0.5) -> Detections | list[Detections]:
        """Find objects.

        Args:
            images: one image or a sequence of images: each a path, or a uint8 tensor ``(3, H, W)``,
                RGB.
            threshold: the lowest score to return, in [0, 1]; scores below the configuration's
                ``min_score`` are never returned.

        Returns:
            The detections of the image, or a list of them, in pixels of the original image and on
            the CPU.

        Raises:
            UserError: a file that cannot be read, or a tensor of another shape or dtype.
        """
        if isinstance(images, (Tensor, str, Path)):
            return self.predict([images], threshold)[0]
        originals = [self._image(i) for i in images]
        if not originals:
            return []
        was_training = self.training
        self.eval()
        batch = self.normalise([self.resize(i) for i in originals])
        features = self.features(batch)
        proposals, _ = self.rpn(batch, features)
        results = self.roi_heads.detect(features, proposals, batch.image_sizes)
        self.train(was_training)
        return [
            self._detections(r, size, o.shape[-2:], threshold)
            for r, size, o in zip(results, batch.image_sizes, originals, strict=True)
        ]

    def _detections(
        self,
        result: dict[str, Tensor],
        size: tuple[int, int],
        original: torch.Size,
        threshold: float,
    ) -> Detections:
        keep = result["scores"] >= threshold
        height, width = original
        scale = torch.tensor((width / size[1], height / size[0]) * 2, device=keep.device)
        boxes = result["boxes"][keep] * scale
        masks = paste_masks_in_image(result["masks"][keep], boxes, (height, width))[:, 0] >= 0.5
        return Detections(
            boxes.cpu(),
            result["labels"][keep].cpu() - 1,
            result["scores"][keep].cpu(),
            masks.cpu(),
            self.classes,
        )

    @staticmethod
    def _image(image: Tensor | str | Path) -> Tensor:
        if isinstance(image, (str, Path)):
            from dmaskrcnn.data.image import decode_image

            return decode_image(Path(image))
        if (
            image.dtype != torch.uint8
            or image.dim() != 3
            or image.shape[0] != 3
            or 0 in image.shape
        ):
            raise UserError(
                f"image: expected a uint8 tensor (3, H, W), got {image.dtype} "
                f"{tuple(image.shape)}; convert it first"
            )
        return image

    # --- weights ----------------------------------------------------------------------------------

    @classmethod
    def create(cls, classes: Sequence[str], config: DetectorConfig, weights: str) -> Detector:
        """A detector that starts from ``weights``.

        Args:
            classes: the class names to learn. With the weights of a whole detector, the rows of the
                classes both know are re-
            used.
            config: the architecture.
            weights: ``scratch``; ``imagenet`` (the backbone, through torchvision); ``coco``
                (ResNet-50-FPN, through torchvision); a run folder; or a ``.safetensors``/``.pth``
                file with torchvision's keys of a backbone or a whole Mask R-CNN.

        Raises:
            UserError: weights that do not fit the architecture, cannot be read or would have to be
            unpickled.
        """
        detector = cls(classes, config)
        if weights == "scratch":
            return detector
        if weights == "imagenet":
            available: Any = models.get_model_weights(config.backbone)
            load_backbone(detector.backbone.body, download(available.DEFAULT), weights)
        elif weights == "coco":
            if config.backbone != "resnet50":
                raise UserError(
                    "--weights coco: torchvision has them for --backbone resnet50, not "
                    f"{config.backbone}; use imagenet"
                )
            coco = MaskRCNN_ResNet50_FPN_Weights.COCO_V1
            # index 0 is background; "N/A" rows were never trained
            names = coco.meta["categories"][1:]
            load_whole(detector, classes, download(coco), names, weights)
        else:
            path = Path(weights)
            if path.is_dir():
                names = read_description(path)[0]
                load_whole(
                    detector, classes, read_state(path / "model.safetensors"), names, str(path)
                )
            else:
                state = read_state(path)
                if not any(k.startswith("backbone.") for k in state):
                    load_backbone(detector.backbone.body, state, weights)
                else:
                    description = path.with_suffix(".json")
                    names = read_description(path)[0] if description.is_file() else classes
                    load_whole(detector, classes, state, names, weights)
        return detector

    @classmethod
    def load(cls, folder: str | Path) -> Detector:
        """The detector that a training run saved: ``folder`` holds ``model.safetensors`` and
        ``model.json``.

        Raises:
            UserError: a file that is missing or damaged, or weights that do not fit the
            description.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such run folder; give one that holds model.json and "
                "model.safetensors"
            )
        classes, config = read_description(folder)
        detector = cls(classes, config)
        check_and_load(
            detector, read_state(folder / "model.safetensors"), str(folder / "model.safetensors")
        )
        return detector.eval()

    def save(self, folder: str | Path, **notes: Any) -> None:
        """Write ``model.safetensors`` and ``model.json`` (classes, architecture and ``notes``),
        each atomically."""
        from safetensors.torch import save_file

        state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        atomic_write(Path(folder) / "model.safetensors", lambda path: save_file(state, path))
        description = {"classes": self.classes, "detector": asdict(self.config), **notes}
        write_text(Path(folder) / "model.json", json.dumps(description, indent=2) + "\n")
