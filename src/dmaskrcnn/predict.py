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
                                 "mask": {"size": [height, width], "counts": "…"}}]}],   COCO's compressed RLE
     "skipped": [{"file": "folder/bad.jpg", "reason": "…"}]}

Decoding and drawing run in threads beside the model, so that neither waits for the other.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dmaskrcnn.data.image import IMAGE_SUFFIXES, decode_image, list_images
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, write_text

FORMAT = "dmaskrcnn detections 1"
JPEG_COMMENT = b"drawn by dmaskrcnn predict"  # marks a picture as ours: it may be overwritten by the next run
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
        return f"{self.objects} objects in {self.images} images{skipped}, {self.seconds:.1f} s: {self.out}"


def predict_images(
    detector: Predictor,
    inputs: Sequence[Path | str],
    out: Path | str,
    threshold: float = 0.5,
    batch_size: int = 4,
    progress: bool = True,
) -> PredictionSummary:
    """Writes a drawn picture of every image, and ``detections.json`` (format: see the module), into ``out``.

    Pictures keep the path of the image relative to its input folder; images of the same name get ``-2``, ``-3``, …. An input
    image, or any other file that no earlier run of this function wrote, is never overwritten. If the run is interrupted or
    fails, the JSON file holds what was done until then.

    Args:
        detector: finds the objects.
        inputs: image files, and folders, which are searched with all their subfolders.
        out: the folder to write to; made where missing. It may lie inside an input folder, which then is searched without it.
        threshold: the least score of an object, in [0, 1].
        batch_size: images per call of the detector.
        progress: report progress on stderr: a bar on a terminal, otherwise a line at about every tenth of the images.

    Raises:
        UserError: for a missing or empty input, ``out`` equal to an input folder, a file that cannot be written, or if no
            image at all can be read.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold: {threshold} is no score; give a value from 0 to 1")
    if batch_size < 1:
        raise UserError(f"batch_size: {batch_size} images make no batch; give at least 1")
    out = Path(out)
    jobs = plan(find_images([Path(path) for path in inputs], out), out)
    summary = PredictionSummary(out, out / "detections.json")
    if summary.json.exists() and not _is_our_json(summary.json):
        raise UserError(f"{summary.json}: exists and was not written by dmaskrcnn predict; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error

    start = time.monotonic()
    records: list[dict[str, Any]] = []
    complete = False
    report = Progress(len(jobs), progress, "predict")
    with ThreadPoolExecutor(2, "decode") as readers, ThreadPoolExecutor(2, "draw") as drawers:
        drawing: deque[Future[tuple[Job, bytes, dict[str, Any]]]] = deque()

        def finish(most: int) -> None:
            """Writes pictures until at most so many are still being drawn: the masks of large images are large."""
            while len(drawing) > most:
                job, picture, record = drawing[0].result()
                atomic_write(job.picture, partial(_write_bytes, data=picture))
                records.append(record)
                drawing.popleft()  # only now: an interruption while waiting loses nothing
                report.step()

        try:
            for batch in decode_batches(jobs, readers, batch_size, summary.skipped, report):
                found = detector.predict([image for _, image in batch], threshold=threshold)
                for (job, image), detections in zip(batch, found, strict=True):
                    drawing.append(drawers.submit(_draw, job, image, detections.to("cpu"), out))
                finish(most=batch_size)
            finish(most=0)
            complete = True
        finally:
            readers.shutdown(cancel_futures=True)
            if not complete:
                with suppress(Exception):  # the first failure is the one to report
                    finish(most=0)
            report.close()
            summary.images, summary.seconds = len(records), time.monotonic() - start
            summary.objects = sum(len(record["detections"]) for record in records)
            if records:
                skipped = [{"file": path.as_posix(), "reason": reason} for path, reason in summary.skipped]
                content = {"format": FORMAT, "complete": complete, "threshold": threshold}
                content |= {"images": records, "skipped": skipped}
                with suppress(*(() if complete else (UserError,))):  # the same
                    write_text(summary.json, json.dumps(content, ensure_ascii=False) + "\n")
    if not records:
        first = summary.skipped[0]
        raise UserError(f"{first[0]}: none of the {len(jobs)} images can be read ({first[1]}); check the files")
    return summary


@dataclass
class Job:
    """One image to predict: its file, and the picture to write."""

    source: Path
    picture: Path


def find_images(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """The image files, each with the path that its picture should keep; every file once.

    Args:
        inputs: files, taken whatever their suffix, and folders.
        out: left out of the search where it lies inside an input folder.

    Raises:
        UserError: for a missing input, a folder without images, and a folder that is itself ``out``.
    """
    if not inputs:
        raise UserError("inputs: no images given; name image files or folders")
    found: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise UserError(f"{out}: is the output folder and an input folder; choose another --out")
            within = path.resolve() in out.resolve().parents  # an earlier run's pictures are no input
            files = [file for file in list_images(path) if not (within and out.resolve() in file.resolve().parents)]
            if not files:
                raise UserError(f"{path}: no images in this folder (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
        elif path.exists():
            files = [path]
        else:
            raise UserError(f"{path}: no such file or folder; check the path")
        for file in files:
            found.setdefault(file.resolve(), (file, file.relative_to(path if path.is_dir() else path.parent)))
    return list(found.values())


def plan(
    files: Sequence[tuple[Path, Path]],
    out: Path,
    suffix: Callable[[Path], str] = lambda _: ".jpg",
    ours: Callable[[Path], bool] | None = None,
) -> list[Job]:
    """A picture for each image, such that no two share a name and nothing but an earlier picture of ours is overwritten.

    Args:
        files: each image, and the path its picture should keep.
        out: the folder of the pictures.
        suffix: of the picture of an image.
        ours: whether an existing file is a picture of ours; by default those of ``predict_images``.
    """
    ours = ours or _is_our_picture
    inputs = {file.resolve() for file, _ in files}
    taken: set[str] = set()
    jobs = []
    for file, name in files:
        number, picture = 1, out / name.with_suffix(suffix(name))
        while (
            str(picture).casefold() in taken  # some file systems take a.jpg and A.jpg for the same file
            or picture.resolve() in inputs
            or (picture.exists() and not ours(picture))
        ):
            number += 1
            picture = out / name.with_name(f"{name.stem}-{number}{picture.suffix}")
        taken.add(str(picture).casefold())
        jobs.append(Job(file, picture))
    return jobs


def decode_batches(
    jobs: Sequence[Job], readers: ThreadPoolExecutor, size: int, skipped: list[tuple[Path, str]], report: Progress
) -> Iterator[list[tuple[Job, Tensor]]]:
    """The decoded images in batches; while one is in use, the next is being decoded. Unreadable ones go to ``skipped``."""
    waiting = deque(jobs)
    decoding: deque[tuple[Job, Future[Tensor]]] = deque()
    batch: list[tuple[Job, Tensor]] = []
    while waiting or decoding:
        while waiting and len(decoding) < 2 * size:
            job = waiting.popleft()
            decoding.append((job, readers.submit(decode_image, job.source)))
        job, image = decoding.popleft()
        try:
            batch.append((job, image.result()))
        except UserError as error:
            reason = str(error).removeprefix(f"{job.source}: ")
            skipped.append((job.source, reason))
            report.say(f"skipped {job.source}: {reason}")
            report.step()
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _draw(job: Job, image: Tensor, detections: Detections, out: Path) -> tuple[Job, bytes, dict[str, Any]]:
    """The drawn picture as a JPEG file, and the image's entry for the JSON file."""
    data = io.BytesIO()
    detections.draw(image).save(data, "JPEG", quality=JPEG_QUALITY, subsampling=0, comment=JPEG_COMMENT)
    entry = {"file": job.source.as_posix(), "picture": job.picture.relative_to(out).as_posix(), **detections.to_dict()}
    return job, data.getvalue(), entry


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


class Progress:
    """Progress on stderr: a bar with the time left on a terminal, otherwise a line at about every tenth of the images."""

    def __init__(self, total: int, enabled: bool, verb: str):
        self.total, self.done, self.enabled, self.verb, self.start = total, 0, enabled, verb, time.monotonic()
        on_terminal = enabled and sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=verb, unit="image", file=sys.stderr) if on_terminal else None

    def step(self) -> None:
        """One image more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif self.enabled and self.done * 10 // self.total > (self.done - 1) * 10 // self.total:
            left = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            print(f"{self.verb}: {self.done}/{self.total} images, {left:.0f} s left", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line of its own, without breaking the bar; said even where progress is not wanted."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
