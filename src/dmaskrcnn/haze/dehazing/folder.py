"""Dehazes images and folders of images.

    dmaskrcnn dehaze photo.jpg folder/ --method dark-channel --out clear

Names and subfolders are kept. ``dehazed.json`` beside the pictures says how they were made::

    {"format": "dmaskrcnn dehazed 1", "method": "mscnn", "weights": "mscnn.safetensors",
     "complete": true,                                             false: interrupted; what was done until then follows
     "images": [{"file": "folder/a/x.png", "picture": "a/x.png"}], the input as it was named; the picture, relative to this file
     "skipped": [{"file": "folder/bad.jpg", "reason": "…"}],
     "earlier": ["b/y.png"]}                                       pictures of earlier runs that this one did not write again

The next run into the same folder may overwrite the pictures listed there, and no other file.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, write_text
from dmaskrcnn.haze.dehazing.dehazer import Dehazer
from dmaskrcnn.haze.dehazing.maps import draw_maps
from dmaskrcnn.predict import Job, Progress, decode_batches, find_images, plan

FORMAT = "dmaskrcnn dehazed 1"
JPEG_QUALITY = 95
# Formats that hold 8-bit RGB keep theirs; the rest (.pgm is grey by definition) becomes PNG.
KEPT_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


@dataclass
class DehazeSummary:
    """What ``dehaze_images`` did.

    Attributes:
        out: the folder with the pictures.
        images: the number of images dehazed.
        skipped: file and reason of each image that could not be read.
        seconds: wall time, decoding and encoding included.
    """

    out: Path
    images: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        skipped = f", {len(self.skipped)} unreadable skipped" if self.skipped else ""
        return f"{self.images} images dehazed{skipped}, {self.seconds:.1f} s: {self.out}"


def dehaze_images(
    dehazer: Dehazer, inputs: Sequence[Path | str], out: Path | str, maps: bool = False, progress: bool = True
) -> DehazeSummary:
    """Writes a dehazed copy of every image, and ``dehazed.json`` (see the module), into ``out``.

    Pictures are upright: an EXIF rotation is applied and its tag removed; other EXIF data and the colour profile are kept. An
    input, or any file that no earlier run listed in ``dehazed.json``, is never overwritten: the picture gets ``-2`` instead.

    Args:
        dehazer: the method.
        inputs: image files, and folders, which are searched with all their subfolders.
        out: the folder to write to; made where missing. It may lie inside an input folder, which then is searched without it.
        maps: also write ``NAME-maps.png``, a drawing of the intermediate maps.
        progress: report progress on stderr.

    Raises:
        UserError: for a missing or empty input, ``out`` equal to an input folder, a file that cannot be written, or if no
            image at all can be read.
    """
    out = Path(out)
    index = out / "dehazed.json"
    earlier = _listed(index)
    files = find_images([Path(path) for path in inputs], out)
    drawings = [(file, name.with_name(f"{name.stem}-maps.png")) for file, name in files] if maps else []
    planned = plan(files + drawings, out, _suffix, ours=lambda path: path in earlier)
    jobs, drawing_of = planned[: len(files)], {job.source: job.picture for job in planned[len(files) :]}
    summary = DehazeSummary(out)
    start = time.monotonic()
    done: list[dict[str, str]] = []
    complete = False
    report = Progress(len(jobs), progress, "dehaze")
    with ThreadPoolExecutor(2, "decode") as readers, ThreadPoolExecutor(2, "encode") as writers:
        writing: deque[Future[dict[str, str]]] = deque()

        def finish(most: int) -> None:
            while len(writing) > most:
                done.append(writing[0].result())
                writing.popleft()
                report.step()

        try:
            for batch in decode_batches(jobs, readers, 1, summary.skipped, report):
                for job, hazy in batch:
                    clear, found = dehazer(hazy)
                    if maps:
                        atomic_write(drawing_of[job.source], draw_maps(hazy, clear, found).save)
                    writing.append(writers.submit(_write, job, clear.cpu(), drawing_of.get(job.source), out))
                finish(most=2)
            finish(most=0)
            complete = True
        finally:
            readers.shutdown(cancel_futures=True)
            if not complete:
                with suppress(Exception):  # the first failure is the one to report
                    finish(most=0)
            report.close()
            summary.images, summary.seconds = len(done), time.monotonic() - start
            if done:
                written = {name for entry in done for key, name in entry.items() if key != "file"}
                content = {
                    "format": FORMAT,
                    "method": dehazer.method,
                    "weights": dehazer.weights.name if dehazer.weights else None,
                    "complete": complete,
                    "images": done,
                    "skipped": [{"file": path.as_posix(), "reason": reason} for path, reason in summary.skipped],
                    "earlier": sorted({path.relative_to(out).as_posix() for path in earlier} - written),
                }
                with suppress(*(() if complete else (UserError,))):
                    write_text(index, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    if not done:
        first = summary.skipped[0]
        raise UserError(f"{first[0]}: none of the {len(jobs)} images can be read ({first[1]}); check the files")
    return summary


def _suffix(name: Path) -> str:
    return name.suffix if name.suffix.lower() in KEPT_SUFFIXES else ".png"


def _listed(index: Path) -> set[Path]:
    """The pictures that an earlier run wrote.

    Raises:
        UserError: there is a file of this name that no run wrote.
    """
    if not index.exists():
        return set()
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        if content["format"] == FORMAT:
            names = [name for entry in content["images"] for key, name in entry.items() if key != "file"]
            return {index.parent / name for name in names + content["earlier"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{index}: exists and was not written by dmaskrcnn dehaze; choose another --out")


def _write(job: Job, clear: Tensor, drawing: Path | None, out: Path) -> dict[str, str]:
    """Writes the picture, in the format its name says; gives the entry for the JSON file."""
    picture = Image.fromarray(clear.permute(1, 2, 0).contiguous().numpy())
    options: dict[str, Any] = _metadata(job.source)
    suffix = job.picture.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    elif suffix == ".webp":
        options |= {"quality": JPEG_QUALITY}
    elif suffix in (".bmp", ".ppm"):
        options = {}
    atomic_write(job.picture, lambda path: picture.save(path, **options))
    entry = {"file": job.source.as_posix(), "picture": job.picture.relative_to(out).as_posix()}
    return entry if drawing is None else entry | {"maps": drawing.relative_to(out).as_posix()}


def _metadata(source: Path) -> dict[str, Any]:
    """EXIF data without the rotation, which is in the pixels now, and the colour profile if it is one of RGB."""
    options: dict[str, Any] = {}
    try:
        with Image.open(source) as picture:
            exif = picture.getexif()
            exif.pop(0x0112, None)
            if len(exif):
                options["exif"] = exif.tobytes()
            if picture.mode in ("RGB", "RGBA", "P") and picture.info.get("icc_profile"):
                options["icc_profile"] = picture.info["icc_profile"]
    except Exception:  # broken metadata of a readable picture: the picture is what counts
        return {}
    return options
