"""A Mask R-CNN: built from torchvision's parts, loaded, saved, and run on images. Knows nothing of
domains or training."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from dmaskrcnn.data.picture_input import Channels, is_one
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.data.sizes import target_size
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.assignment import Truth
from dmaskrcnn.detector.backbone import build_backbone
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.frozen_batchnorm import FoldedTogether
from dmaskrcnn.detector.heads import box_head, mask_head, rpn_head
from dmaskrcnn.detector.inference import stream
from dmaskrcnn.detector.limits import USUAL, Limits
from dmaskrcnn.detector.precision import Precision
from dmaskrcnn.detector.pyramid import POOLED, Features, measure_levels
from dmaskrcnn.detector.roi_align import MultiScaleRoIAlign
from dmaskrcnn.detector.roi_heads import RoIHeads
from dmaskrcnn.detector.rpn import RegionProposalNetwork
from dmaskrcnn.detector.transform import normalised_batch, padded_size, resized
from dmaskrcnn.detector.weights import check_and_load, load_start, read_description, read_state
from dmaskrcnn.device import has_fast_bfloat16, resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, write_text


class Detector(nn.Module):
    """Mask R-CNN (He et al., ICCV 2017) on an FPN, with torchvision's names in its state dict.

    Args:
        classes: the class names, without background.
        config: the architecture.

    Attributes:
        classes: the class names; detections' labels index them.
        levels: of the pyramid, from which RoIs are pooled and on which domains are aligned: P2-P5.
            P6 has no features of its own and takes no part, as in the original.
        dtype: torch.bfloat16 to run the networks in mixed precision, None for float32 (see
            ``set_precision``).
        trained: whether it was created from the weights of a whole detector.
    """

    dtype: torch.dtype | None = None
    trained = False

    def __init__(self, classes: Sequence[str], config: DetectorConfig | None = None) -> None:
        super().__init__()
        config = config or DetectorConfig()
        if not classes:
            raise UserError("classes: a detector needs at least one class name")
        config.check_weights(len(classes))
        self.classes = tuple(classes)
        self.config = config
        width, count = config.fpn_channels, len(classes) + 1

        self.backbone = build_backbone(config)
        maps = measure_levels(self.backbone)
        self.levels = tuple(level for level in maps if level.name != POOLED)
        sizes = config.anchors_of(len(maps))
        anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(maps))
        # Thresholds of assignment and NMS, bins of boxes and masks: as in the papers (Faster R-CNN,
        # section 3; Mask R-CNN, section 3.1), the same in every preset.
        self.rpn = RegionProposalNetwork(
            anchors,
            rpn_head(config, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=config.anchors_sampled,
            positive_fraction=0.5,
            pre_nms_top_n=dict(zip(("training", "testing"), config.pre_nms, strict=True)),
            post_nms_top_n=dict(zip(("training", "testing"), config.post_nms, strict=True)),
            nms_thresh=0.7,
        )
        self.roi_heads = RoIHeads(
            self._pooling(7),
            box_head(config),
            FastRCNNPredictor(config.box_head_width, count),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.rois_sampled,
            positive_fraction=config.rois_positive,
            bbox_reg_weights=None,
            score_thresh=config.min_score,
            nms_thresh=config.box_nms,
            detections_per_img=config.max_detections,
            mask_roi_pool=self._pooling(14),
            mask_head=mask_head(config),
            mask_predictor=MaskRCNNPredictor(width, width, count),
        )
        self.to(memory_format=torch.channels_last)

    def _pooling(self, size: int) -> MultiScaleRoIAlign:
        names, strides = zip(*((level.name, level.stride) for level in self.levels), strict=True)
        return MultiScaleRoIAlign(list(names), size, sampling_ratio=2, strides=strides)

    # --- running it -------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def set_precision(self, precision: Precision = "auto") -> Detector:
        """``float32``; ``bf16`` for mixed precision; ``auto``: bf16 where the hardware multiplies
        it natively."""
        fast = precision == "bf16" or (precision == "auto" and has_fast_bfloat16(self.device))
        self.dtype = self.rpn.dtype = self.roi_heads.dtype = torch.bfloat16 if fast else None
        return self

    def resize(self, image: Tensor) -> Tensor:
        """The image (uint8 ``(3, H, W)``) at the size the network takes: short side ``image_size``,
        unless the long one exceeds ``max_size``."""
        limits = self.config.image_size, self.config.max_size
        size = target_size(image.shape[-2], image.shape[-1], *limits)
        return resized(image, size)

    def normalise(self, images: Sequence[Tensor], size: Sequence[int] | None = None) -> ImageList:
        """uint8 images ``(3, H, W)`` → one float32 batch, padded below and right with zeros (the
        mean colour) to ``size`` (height, width), or else to multiples of 32; in training that of
        the largest batch of all processes, so that nobody's result depends on his companions."""
        size = padded_size(images, shared=self.training) if size is None else size
        return normalised_batch(images, size, self.device)

    def features(self, images: ImageList) -> Features:
        """FPN maps of ``levels`` and P6: ``(N, C, H/stride, W/stride)``, bfloat16 if mixed."""
        mixed, device = self.dtype is not None, self.device.type
        kept = torch.is_inference_mode_enabled()  # of predictions, which fold once
        folded = nullcontext() if kept else FoldedTogether(self.backbone, self.dtype)
        with folded, torch.autocast(device, dtype=self.dtype or torch.bfloat16, enabled=mixed):
            return self.backbone(images.tensors)

    def losses(
        self,
        images: ImageList,
        features: Features,
        objects: Sequence[Annotations],
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """The five losses of Mask R-CNN: ``objectness``, ``rpn_box_reg``, ``classifier``,
        ``box_reg``, ``mask``; torchvision's without their prefix.

        Args:
            images: the batch, for its sizes; ``features`` were computed from it.
            features: from ``features``.
            objects: what is in each image, in its pixels, on the device of the model.
            seeds: of the sampling of anchors and RoIs, one per image.
        """
        truth = Truth.of(objects)
        proposals, losses = self.rpn(images, features, truth, seeds)
        sizes = images.image_sizes
        return losses | self.roi_heads.losses(features, proposals, sizes, truth, seeds)

    @overload
    def predict(
        self, images: Image | np.ndarray | Tensor | bytes, *args: Any, **options: Any
    ) -> Detections: ...
    @overload
    def predict(self, images: str | os.PathLike[str], *args: Any, **options: Any) -> Any: ...
    @overload
    def predict(self, images: Iterable[Any], *args: Any, **options: Any) -> list[Detections]: ...
    def predict(
        self,
        images: Any,
        threshold: float = 0.5,
        limits: Limits = USUAL,
        best: bool = False,
        **how: Any,
    ) -> Detections | list[Detections]:
        """Find objects in one picture or in several, of which one batch at a time is in memory.

        Args:
            images: as for `stream`.
            threshold, limits, best, how: as for `stream`.

        Returns:
            The detections of the picture; a list of them for a folder, a pattern, a batch or an
            iterable. Their masks are run lengths until ``masks`` is read.

        Raises:
            UserError: as `stream`.
        """
        found = list(self.stream(images, threshold, limits, best, **how))
        return found[0] if is_one(images) else found

    def stream(
        self,
        images: Any,
        threshold: float = 0.5,
        limits: Limits = USUAL,
        best: bool = False,
        *,
        batch_size: int = 8,
        tiles: int = 0,
        channels: Channels = "rgb",
    ) -> Iterator[Detections]:
        """Find objects in pictures one after the other, of which one batch is in memory.

        Args:
            images: a picture: a path, bytes, a PIL image, an array ``(H, W, 3)`` or a tensor ``(3,
                H, W)``, uint8 or floats in [0, 1], see `picture_input.image_tensor`; a folder; a
                pattern (``"cams/*/2026*.jpg"``); a batch ``(N, …)``; or an iterable of any of
                these. Sizes may differ.
            threshold: the lowest score to return, in [0, 1].
            limits: scores that are never returned, and those whose masks are left empty. Not with
                ``tiles``.
            best: return the best of an image also where no score reaches the threshold.
            batch_size: images (or tiles) per forward pass.
            tiles: the side of overlapping tiles in px of the picture, for small objects in large
                pictures, see `tiles`; 0: none.
            channels: the order of colours in arrays and tensors; ``"bgr"`` is OpenCV's.

        Returns:
            An iterator of the detections, in pixels of the original image and on the CPU. They
            remember the path of their picture (``.image``); one from memory only where it is alone.

        Raises:
            UserError: a file that cannot be read, another type, shape or range, named by its place.
        """
        return stream(self, images, threshold, limits, best, batch_size, tiles, channels)

    # --- weights ----------------------------------------------------------------------------------

    @classmethod
    def create(cls, classes: Sequence[str], config: DetectorConfig, weights: str) -> Detector:
        """A detector that starts from ``weights``.

        Args:
            classes: the class names to learn. With the weights of a whole detector, the rows of the
                classes both know are used.
            config: the architecture.
            weights: ``scratch``; ``imagenet`` (the backbone, through torchvision); ``coco`` (as of
                `coco_weights`); a run folder; or a ``.safetensors``/``.pth`` file with
                torchvision's keys of a backbone or a whole detector.

        Raises:
            UserError: weights that do not fit the architecture, cannot be read or would have to be
                unpickled.
        """
        detector = cls(classes, config)
        detector.trained = load_start(detector, classes, config, weights)
        return detector

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        image_size: int = 0,
    ) -> Detector:
        """The detector that a training run saved, ready to predict.

        Args:
            folder: holds ``model.safetensors`` and ``model.json``.
            device: ``auto`` is the GPU if there is one.
            precision: see ``set_precision``.
            image_size: short side of the network's input in pixels, its longest side in proportion;
                0: as it was trained.

        Raises:
            UserError: a file that is missing, damaged or of another detector, or no such device.
        """
        folder = Path(folder)
        if not os.path.isdir(folder):
            raise UserError(f"{folder}: no such run folder; give one of a training")
        classes, config = read_description(folder)
        with torch.device("meta"):  # no weight is drawn that the file replaces
            detector = cls(classes, config.at_size(image_size)).to_empty(device="cpu")
        file, remedy = folder / "model.safetensors", "model.json beside it is of another detector"
        check_and_load(detector, read_state(file), str(file), remedy)
        return detector.eval().to(resolve_device(device)).set_precision(precision)

    def save(self, folder: str | Path, image_size: int = 0, **notes: Any) -> None:
        """Write ``model.safetensors`` and ``model.json`` (classes, architecture and ``notes``),
        each atomically. ``image_size``: as of `load`, what it will read at."""
        from safetensors.torch import save_file

        state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        atomic_write(Path(folder) / "model.safetensors", lambda path: save_file(state, path))
        description = {"classes": self.classes, "detector": asdict(self.config.at_size(image_size))}
        write_text(Path(folder) / "model.json", json.dumps(description | notes, indent=2) + "\n")
