"""Detects the objects in images and folders of images: a drawn picture for each, and one JSON file.

    dmaskrcnn predict RUN photo.jpg folder/ --out found

``detections.json`` holds, besides what every index says (see `dmaskrcnn.output_folder`)::

    {"format": "dmaskrcnn predict 1", "complete": true,
     "threshold": 0.5, "tiles": 0,
     "images": [{"file": "folder/a/x.png",  the input, as it was named
                 "picture": "a/x.jpg",      the drawn picture, relative to this file
                 "haze": 0.431,             0 clear, 1 nothing but haze: see `haze.gauge`
                 "width": 640, "height": 480,
                 "detections": [{"class": "car", "score": 0.93,
                                 "box": [x1, y1, x2, y2],
                                 "mask": {"size": [height, width], "counts": "…"}}]}],
     "skipped": [{"file": "folder/bad.jpg", "reason": "…"}],
     "files": ["a/x.jpg"], "earlier": []}

Boxes are in pixels, masks COCO's compressed RLE.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.draw import JPEG
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import save_picture_whole
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.images.by_detector import in_tiles
from dmaskrcnn.images.jobs import Summary, run_jobs
from dmaskrcnn.images.picture_files import PictureJob, plan
from dmaskrcnn.output_folder import OutputFolder

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "detections.json"
COMMENT = b"drawn by dmaskrcnn predict"


@dataclass
class PredictionSummary(Summary):
    """What ``predict_images`` did: besides, the number of objects found, the threshold, and the
    best score below it (0 where there was nothing)."""

    objects: int = 0
    threshold: float = 0.5
    best_below: float = 0.0

    @property
    def json(self) -> Path:
        """The file with the detections."""
        return self.out / INDEX

    def __str__(self) -> str:
        return self._advice() + self.line(f"{self.objects} objects in {self.images} images")

    def _advice(self) -> str:
        """Of a result without objects, what to do about it."""
        if self.objects:
            return ""
        if not self.best_below:
            return "no object was found, not even below the threshold: train the detector longer\n"
        lower = math.floor(100 * self.best_below) / 100
        return (
            f"no object reached {self.threshold:g}; the best score was {self.best_below:.2f}: "
            f"--threshold {lower:g}\n"
        )


def predict_images(
    detector: Predictor,
    inputs: Sequence[Path | str],
    out: Path | str,
    threshold: float = 0.5,
    batch_size: int = 4,
    progress: bool = True,
    tiles: int = 0,
) -> PredictionSummary:
    """Writes a drawn picture of every image, and ``detections.json`` (format: see the module), into
    ``out``.

    Pictures keep the path of the image relative to its input folder; images of the same name get
    ``-2``, ``-3``, …. An input image, or any other file that no earlier run of this function wrote,
    is never overwritten. If the run is interrupted or fails, the JSON file holds what was done
    until then.

    Args:
        detector: finds the objects.
        inputs: image files, patterns of them (``cams/*/2026*.jpg``), and folders, which are
            searched with all their subfolders.
        out: the folder to write to; made where missing. It may lie inside an input folder, which
            then is searched without it.
        threshold: the least score of an object, in [0, 1].
        batch_size: images per call of the detector.
        progress: report progress on stderr: a bar on a terminal, otherwise a line at about every
            tenth of the images.
        tiles: the side of overlapping tiles in px, see `detector.tiles`; 0: none.

    Raises:
        UserError: for a missing or empty input, ``out`` equal to an input folder, a file that
            cannot be written, or if no image at all can be read.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold: {threshold} is no score; give a value from 0 to 1")
    if batch_size < 1:
        raise UserError(f"batch_size: {batch_size} images make no batch; give at least 1")
    detector = in_tiles(detector, tiles, batch_size)
    # in one line: objects are many, and not read by people
    output = OutputFolder(Path(out), "predict", INDEX, indent=None)
    jobs = plan(inputs, output, lambda _: ".jpg")

    below = [0.0]  # scores under the threshold

    def work(batch: list[tuple[PictureJob, Tensor]]) -> list[Callable[[], dict[str, Any]]]:
        images = [image for _, image in batch]
        found = detector.predict(images, threshold=threshold, best=True)
        below.extend(score for d in found for score in d.scores.tolist() if score < threshold)
        return [
            partial(write, *item, detections.above(threshold).to("cpu"))
            for item, detections in zip(batch, found, strict=True)
        ]

    def write(job: PictureJob, image: Tensor, detections: Detections) -> dict[str, Any]:
        drawn = detections.draw(image)
        output.write(
            job.picture, lambda path: save_picture_whole(drawn, path, comment=COMMENT, **JPEG)
        )
        said = {"file": job.source.as_posix(), "picture": output.name(job.picture)}
        said |= {"haze": round(haziness(image), 3)}
        return said | detections.to_dict()

    outcome = run_jobs(
        jobs,
        lambda job: decode_image(job.source),
        work,
        output,
        {"threshold": threshold, "tiles": tiles},
        size=batch_size,
        progress=progress,
    )
    return PredictionSummary(
        output.path,
        len(outcome.done),
        outcome.skipped,
        outcome.seconds,
        objects=sum(len(entry["detections"]) for entry in outcome.done),
        threshold=threshold,
        best_below=max(below),
    )
