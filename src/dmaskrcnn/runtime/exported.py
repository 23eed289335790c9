"""A detector that was exported: the same pictures in, the same `Detections` out, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmaskrcnn.arrays import as_image, as_tensor
from dmaskrcnn.data.picture_input import (
    Channels,
    as_eight_bits,
    each_pixels,
    image_pixels,
    is_one,
)
from dmaskrcnn.data.sizes import target_size
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.limits import USUAL, Limits, check_threshold
from dmaskrcnn.runtime.description import Description, read_export
from dmaskrcnn.runtime.masks import paste_masks
from dmaskrcnn.runtime.sessions import open_model

Pixels = NDArray[np.uint8]


class ExportedDetector:
    """Runs a folder that `dmaskrcnn export` wrote.

    Args:
        description: what the folder holds; its files are checked.
        precision: of OpenVINO's arithmetic: ``float32`` or ``bf16``; None: what was exported.
        threads: processor cores to use; None: as many as the runtime thinks best.
        image_size: short side of the network's input in pixels, its longest side in proportion; 0:
            as it was exported.

    Attributes:
        classes: the class names; detections' labels index them.
        config: the architecture of the detector that was exported.
    """

    def __init__(
        self,
        description: Description,
        precision: str | None = None,
        threads: int | None = None,
        image_size: int = 0,
    ) -> None:
        description.check_files()
        self.description = description
        self.classes, self.config = description.classes, description.config.at_size(image_size)
        where = description.folder, description.runtime, precision or description.precision
        folder, runtime, precision = where
        self._model = open_model(folder, "model", runtime, precision, threads)
        self._dehaze = None
        if description.dehaze != "none":
            self._dehaze = open_model(folder, "dehaze", runtime, "float32", threads)

    def predict(
        self,
        images: Any,
        threshold: float = 0.5,
        limits: Limits = USUAL,
        best: bool = False,
        channels: Channels = "rgb",
    ) -> Any:
        """Find objects in one picture or in several, as `Detector.predict` does.

        Args:
            images: as for `stream`.
            threshold, limits, best, channels: as for `stream`.

        Returns:
            The `Detections` of the picture; a list of them for a folder, a pattern, a batch or an
            iterable.

        Raises:
            UserError: as `stream`.
        """
        found = list(self.stream(images, threshold, limits, best, channels))
        return found[0] if is_one(images) else found

    def stream(
        self,
        images: Any,
        threshold: float = 0.5,
        limits: Limits = USUAL,
        best: bool = False,
        channels: Channels = "rgb",
    ) -> Iterator[Detections]:
        """Find objects in pictures one after the other, as `Detector.stream` does.

        Args:
            images: a picture: a path, bytes, a PIL image, an array ``(H, W, 3)`` or a tensor ``(3,
                H, W)``, uint8 or floats in [0, 1], see `picture_input.image_pixels`; a folder; a
                pattern; a batch ``(N, …)``; or an iterable of any of these.
            threshold: the lowest score to return, in [0, 1].
            limits: scores that are never returned, and those whose masks are left empty.
            best: return the best of an image also where no score reaches the threshold.
            channels: the order of colours in arrays and tensors; ``"bgr"`` is OpenCV's.

        Returns:
            An iterator of the detections, in pixels of the original image: of tensors where torch
            is installed, otherwise of NumPy arrays. They remember the path of their picture
            (``.image``); one from memory only where it is alone.

        Raises:
            UserError: a file that cannot be read, another type, shape or range, named by its place.
        """
        check_threshold(threshold)
        pictures, alone = each_pixels(images, channels), is_one(images)

        def each() -> Iterator[Detections]:
            for pixels, path in pictures:
                found = self._one(self.dehazed(pixels), threshold, limits, best)
                found.image = path or (as_image(pixels) if alone else None)
                yield found

        return each()

    def plain(self, image: Any, threshold: float) -> Detections:
        """`predict` for one image that is not dehazed before."""
        return self._one(as_eight_bits(image_pixels(image)), threshold, USUAL, False)

    def _one(self, image: Pixels, threshold: float, limits: Limits, best: bool) -> Detections:
        box = self.config.min_score if limits.box is None else limits.box
        # nobody will see the masks of those below the threshold, but for the best one's
        boxes, labels, scores, masks = self.raw(image, box, max(limits.mask, threshold))
        masks = masks[scores[: len(masks)] >= limits.mask]
        keep = scores >= threshold
        keep[:1] |= best
        masks = masks[keep[: len(masks)]]
        height, width = image.shape[:2]
        sides = self.size_of(height, width)
        scale = np.array((width / sides[1], height / sides[0]) * 2, np.float32)
        boxes = boxes[keep] * scale
        return Detections(
            as_tensor(boxes),
            as_tensor(labels[keep]),
            as_tensor(scores[keep]),
            paste_masks(masks, boxes, height, width),
            self.classes,
        )

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the network sees a picture of this size."""
        return target_size(height, width, self.config.image_size, self.config.max_size)

    def dehazed(self, image: Pixels) -> Pixels:
        """The picture as the network should see it: dehazed where the export dehazes."""
        if self._dehaze is None:
            return image
        return self._dehaze({"image": np.ascontiguousarray(image)})[0]

    def raw(self, image: Pixels, box_score: float, mask_score: float) -> list[NDArray[Any]]:
        """What the model says of a picture: boxes in pixels of the network's input, 0-based labels,
        scores, and the masks ``(m, 28, 28)`` of the first m."""
        feed: dict[str, NDArray[Any]] = {"image": resized(image, self.size_of(*image.shape[:2]))}
        feed["box_score"] = np.array(box_score, np.float32)
        feed["mask_score"] = np.array(mask_score, np.float32)
        return self._model(feed)


def resized(image: Pixels, size: Sequence[int]) -> Pixels:
    """A picture ``(H, W, 3)`` at another (height, width): bilinear with antialiasing, within 1 of
    255 of what torchvision makes."""
    if tuple(image.shape[:2]) == tuple(size):
        return np.ascontiguousarray(image)
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.array(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def load(
    folder: str | Path,
    precision: str | None = None,
    threads: int | None = None,
    image_size: int = 0,
) -> ExportedDetector:
    """The detector in a folder that `dmaskrcnn export` wrote, ready to predict on the CPU.

    Args:
        folder: holds ``model.json`` and the model.
        precision: see `ExportedDetector`.
        threads: likewise.
        image_size: likewise.

    Raises:
        UserError: a file that is missing, damaged or of another version; or the runtime is not
        installed.
    """
    return ExportedDetector(read_export(Path(folder)), precision, threads, image_size)
