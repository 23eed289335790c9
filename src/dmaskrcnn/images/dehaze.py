"""Dehazes images and folders of images.

    dmaskrcnn dehaze photo.jpg folder/ --method dark-channel --out clear

Names and subfolders are kept. ``dehazed.json`` beside the pictures says how they were made (see
`dmaskrcnn.output_folder` for what every index says)::

    {"format": "dmaskrcnn dehaze 1", "complete": true,
     "method": "mscnn", "weights": "mscnn.safetensors",
     "ignore_rows": null,                                      or [top, bottom], as they were given
     "images": [{"file": "folder/a/x.png",                         the input as it was named
                 "picture": "a/x.png",                             relative to this file
                 "maps": "a/x-maps.png"}],                         with --maps
     "skipped": [{"file": "folder/bad.jpg", "reason": "…"}],
     "files": ["a/x.png", "a/x-maps.png"], "earlier": []}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image
from torch import Tensor

from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing.dehazer import Dehazer
from dmaskrcnn.dehazing.maps import draw_maps
from dmaskrcnn.images.jobs import Summary, run_jobs
from dmaskrcnn.images.picture_files import PictureJob, kept_suffix, plan, save_picture
from dmaskrcnn.output_folder import OutputFolder


class DehazeSummary(Summary):
    """What ``dehaze_images`` did."""

    def __str__(self) -> str:
        return self.line(f"{self.images} images dehazed")


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
        inputs: image files, patterns of them (``cams/*/2026*.jpg``), and folders, which are
            searched with all their subfolders.
        out: the folder to write to; made where missing. It may lie inside an input folder, which
            then is searched without it.
        maps: also write ``NAME-maps.png``, a drawing of the intermediate maps.
        progress: report progress on stderr.

    Raises:
        UserError: for a missing or empty input, ``out`` equal to an input folder, a file that
            cannot be written, or if no image at all can be read.
    """
    output = OutputFolder(Path(out), "dehaze", "dehazed.json")
    jobs = plan(inputs, output, kept_suffix)
    sources = [job.source for job in jobs]
    names = [job.name.with_name(f"{job.name.stem}-maps.png") for job in jobs if maps]
    drawing_of = dict(zip(sources, output.claim(names, sources), strict=False))

    def work(batch: list[tuple[PictureJob, Tensor]]) -> list[Callable[[], dict[str, str]]]:
        ((job, hazy),) = batch
        clear, found = dehazer(hazy)
        drawing = draw_maps(hazy, clear, found) if maps else None
        return [partial(write, job, clear.cpu(), drawing)]

    def write(job: PictureJob, clear: Tensor, drawing: Image.Image | None) -> dict[str, str]:
        picture = Image.fromarray(clear.permute(1, 2, 0).contiguous().numpy())
        output.write(job.picture, partial(save_picture, picture, job.source))
        entry = {"file": job.source.as_posix(), "picture": output.name(job.picture)}
        if drawing is not None:
            output.write(drawing_of[job.source], drawing.save)
            entry["maps"] = output.name(drawing_of[job.source])
        return entry

    options = {
        "method": dehazer.method,
        "weights": dehazer.weights.name if dehazer.weights else None,
        "ignore_rows": dehazer.ignore_rows,
    }
    outcome = run_jobs(
        jobs, lambda job: decode_image(job.source), work, output, options, progress=progress
    )
    return DehazeSummary(output.path, len(outcome.done), outcome.skipped, outcome.seconds)
