"""Detects the objects in images and folders of images: a drawn picture for each, and one JSON file.

    dmaskrcnn predict RUN photo.jpg folder/ --out found

``detections.json`` holds::

    {"format": "dmaskrcnn detections 1",
     "complete": true,                      false: interrupted; what was done until then follows
     "threshold": 0.5,
     "images": [{"file": "folder/a/x.png",  the input, as it was named
                 "picture": "a/x.jpg",      the drawn picture, relative to this file
                 "width": 640, "height": 480,
                 "detections": [{"class": "car", "score": 0.93,
                                 "box": [x1, y1, x2, y2],                pixels
                                 "mask": {"size": [height, width], "counts": "…"}}]}],   COCO's
                                 compressed RLE
     "skipped": [{"file": "folder/bad.jpg", "reason": "…"}]}
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, write_text
from dmaskrcnn.images.jobs import Outcome, run_jobs
from dmaskrcnn.images.output import Job, find_images, plan

FORMAT = "dmaskrcnn detections 1"
# marks a picture as ours: it may be overwritten by the next run
JPEG_COMMENT = b"drawn by dmaskrcnn predict"
JPEG_QUALITY = 92  # without chroma subsampling, which would blur coloured lines of one pixel


class Predictor(Protocol):
    """What is used of a detector."""

    def predict(self, images: list[Tensor], threshold: float = ...) -> list[Detections]:
        """The objects in each uint8 ``(3, H, W)`` image, with a score of at least the threshold."""
        ...


@dataclass
class PredictionSummary:
    """What ``predict_images`` did.

    Attributes:
        out: the folder with the pictures.
        json: the file with the detections.
        images: the number of images predicted.
        objects: the number of objects found in them.
        skipped: file and reason of each image that could not be read.
        seconds: wall time, decoding and drawing included.
    """

    out: Path
    json: Path
    images: int = 0
    objects: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        skipped = f", {len(self.skipped)} unreadable skipped" if self.skipped else ""
        return (
            f"{self.objects} objects in {self.images} images{skipped}, {self.seconds:.1f} "
            f"s: {self.out}"
        )


def predict_images(
    detector: Predictor,
    inputs: Sequence[Path | str],
    out: Path | str,
    threshold: float = 0.5,
    batch_size: int = 4,
    progress: bool = True,
) -> PredictionSummary:
    """Writes a drawn picture of every image, and ``detections.json`` (format: see the module), into
    ``out``.

    Pictures keep the path of the image relative to its input folder; images of the same name get
    ``-2``, ``-3``, …. An input image, or any other file that no earlier run of this function wrote,
    is never overwritten. If the run is interrupted or fails, the JSON file holds what was done
    until then.

    Args:
        detector: finds the objects.
        inputs: image files, and folders, which are searched with all their subfolders.
        out: the folder to write to; made where missing. It may lie inside an input folder, which
            then is searched without it.
        threshold: the least score of an object, in [0, 1].
        batch_size: images per call of the detector.
        progress: report progress on stderr: a bar on a terminal, otherwise a line at about every
            tenth of the images.

    Raises:
        UserError: for a missing or empty input, ``out`` equal to an input folder, a file that
            cannot be written, or if no image at all can be read.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold: {threshold} is no score; give a value from 0 to 1")
    if batch_size < 1:
        raise UserError(f"batch_size: {batch_size} images make no batch; give at least 1")
    out = Path(out)
    jobs = plan(
        find_images([Path(path) for path in inputs], out),
        out,
        lambda _: ".jpg",
        ours=_is_our_picture,
    )
    index = out / "detections.json"
    if index.exists() and not _is_our_json(index):
        raise UserError(
            f"{index}: exists and was not written by dmaskrcnn predict; choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{out}: cannot be made ({error.strerror}); choose another --out"
        ) from error

    def work(batch: list[tuple[Job, Tensor]]) -> list[Callable[[], dict[str, Any]]]:
        found = detector.predict([image for _, image in batch], threshold=threshold)
        return [
            partial(_draw, *item, detections.to("cpu"), out)
            for item, detections in zip(batch, found, strict=True)
        ]

    def save(outcome: Outcome[dict[str, Any]]) -> None:
        content = {"format": FORMAT, "complete": outcome.complete, "threshold": threshold}
        content |= {"images": outcome.done, "skipped": outcome.skipped_entries}
        write_text(index, json.dumps(content, ensure_ascii=False) + "\n")

    outcome = run_jobs(
        jobs, lambda job: decode_image(job.source), work, save, "predict", batch_size, progress
    )
    objects = sum(len(record["detections"]) for record in outcome.done)
    return PredictionSummary(
        out, index, len(outcome.done), objects, outcome.skipped, outcome.seconds
    )


def _draw(job: Job, image: Tensor, detections: Detections, out: Path) -> dict[str, Any]:
    """Writes the drawn picture; gives the image's entry for the JSON file."""
    data = io.BytesIO()
    detections.draw(image).save(
        data, "JPEG", quality=JPEG_QUALITY, subsampling=0, comment=JPEG_COMMENT
    )
    atomic_write(job.picture, partial(_write_bytes, data=data.getvalue()))
    return {
        "file": job.source.as_posix(),
        "picture": job.picture.relative_to(out).as_posix(),
        **detections.to_dict(),
    }


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _is_our_picture(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get("comment") == JPEG_COMMENT
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _is_our_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return FORMAT.encode() in file.read(100)
    except OSError:
        return False
