"""Dehazes images and folders of images.

    dmaskrcnn dehaze photo.jpg folder/ --method dark-channel --out clear

Names and subfolders are kept. ``dehazed.json`` beside the pictures says how they were made::

    {"format": "dmaskrcnn dehazed 1", "method": "mscnn", "weights": "mscnn.safetensors",
     "complete": true,                                             false: interrupted; what was done
     until then follows "images": [{"file": "folder/a/x.png", "picture": "a/x.png"}], the input as
     it was named; the picture, relative to this file "skipped": [{"file": "folder/bad.jpg",
     "reason": "…"}],
     "earlier": ["b/y.png"]}                                       pictures of earlier runs that
     this one did not write again

The next run into the same folder may overwrite the pictures listed there, and no other file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image
from torch import Tensor

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing.dehazer import Dehazer
from dmaskrcnn.dehazing.maps import draw_maps
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, write_text
from dmaskrcnn.images.jobs import Outcome, run_jobs
from dmaskrcnn.images.output import Job, find_images, kept_suffix, plan, save_picture

FORMAT = "dmaskrcnn dehazed 1"


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
    dehazer: Dehazer,
    inputs: Sequence[Path | str],
    out: Path | str,
    maps: bool = False,
    progress: bool = True,
) -> DehazeSummary:
    """Writes a dehazed copy of every image, and ``dehazed.json`` (see the module), into ``out``.

    Pictures are upright: an EXIF rotation is applied and its tag removed; other EXIF data and the
    colour profile are kept. An input, or any file that no earlier run listed in ``dehazed.json``,
    is never overwritten: the picture gets ``-2`` instead.

    Args:
        dehazer: the method.
        inputs: image files, and folders, which are searched with all their subfolders.
        out: the folder to write to; made where missing. It may lie inside an input folder, which
            then is searched without it.
        maps: also write ``NAME-maps.png``, a drawing of the intermediate maps.
        progress: report progress on stderr.

    Raises:
        UserError: for a missing or empty input, ``out`` equal to an input folder, a file that
            cannot be written, or if no image at all can be read.
    """
    out = Path(out)
    index = out / "dehazed.json"
    earlier = _listed(index)
    files = find_images([Path(path) for path in inputs], out)
    drawings = (
        [(file, name.with_name(f"{name.stem}-maps.png")) for file, name in files] if maps else []
    )
    planned = plan(files + drawings, out, kept_suffix, ours=lambda path: path in earlier)
    jobs, drawing_of = (
        planned[: len(files)],
        {job.source: job.picture for job in planned[len(files) :]},
    )

    def work(batch: list[tuple[Job, Tensor]]) -> list[Callable[[], dict[str, str]]]:
        ((job, hazy),) = batch
        clear, found = dehazer(hazy)
        if maps:
            atomic_write(drawing_of[job.source], draw_maps(hazy, clear, found).save)
        return [partial(_write, job, clear.cpu(), drawing_of.get(job.source), out)]

    def save(outcome: Outcome[dict[str, str]]) -> None:
        written = {name for entry in outcome.done for key, name in entry.items() if key != "file"}
        content = {
            "format": FORMAT,
            "method": dehazer.method,
            "weights": dehazer.weights.name if dehazer.weights else None,
            "complete": outcome.complete,
            "images": outcome.done,
            "skipped": outcome.skipped_entries,
            "earlier": sorted({path.relative_to(out).as_posix() for path in earlier} - written),
        }
        write_text(index, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    outcome = run_jobs(
        jobs, lambda job: decode_image(job.source), work, save, "dehaze", progress=progress
    )
    return DehazeSummary(out, len(outcome.done), outcome.skipped, outcome.seconds)


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
            names = [
                name for entry in content["images"] for key, name in entry.items() if key != "file"
            ]
            return {index.parent / name for name in names + content["earlier"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(
        f"{index}: exists and was not written by dmaskrcnn dehaze; choose another --out"
    )


def _write(job: Job, clear: Tensor, drawing: Path | None, out: Path) -> dict[str, str]:
    """Writes the picture; gives the entry for the JSON file."""
    save_picture(
        Image.fromarray(clear.permute(1, 2, 0).contiguous().numpy()), job.picture, job.source
    )
    entry = {"file": job.source.as_posix(), "picture": job.picture.relative_to(out).as_posix()}
    return entry if drawing is None else entry | {"maps": drawing.relative_to(out).as_posix()}
