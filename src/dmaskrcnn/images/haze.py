"""Puts data sets and folders of images behind haze of known visibility.

    dmaskrcnn haze clear.json --visibility 50 150 --out hazy

writes, for each visibility, a data set that opens like the one it was made from, and beside it the
transmission::

    hazy/visibility-50/images/a.jpg        the picture, in the format of the original
    hazy/visibility-50/annotations.json    COCO, where the input has labels: the same objects
    hazy/transmission-50/a.png             16-bit PNG: 65535 t
    hazy/haze.json                         how they were made, and which files are ours

Between the visibilities of an image nothing changes but the visibility: neither the airlight nor
the place of the patches.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmaskrcnn.data.coco_writer import to_coco
from dmaskrcnn.data.dataset import Dataset, open_dataset
from dmaskrcnn.data.sample import Sample
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import derive_seed
from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.haze.scattering import (
    extinction,
    random_airlight,
    ray_length,
    scatter,
    smooth_field,
    transmission,
)
from dmaskrcnn.images.jobs import Job, Summary, run_jobs
from dmaskrcnn.images.picture_depth import picture_depth
from dmaskrcnn.images.picture_files import kept_suffix, names_by_stem, save_picture
from dmaskrcnn.output_folder import OutputFolder

_log = logging.getLogger(__name__)
Read = tuple[Sample, NDArray[np.float32] | None]  # a picture, and its depth where there are maps


@dataclass(frozen=True)
class HazeConditions:
    """What haze images are put behind.

    Attributes:
        visibilities: meteorological visibilities in metres, V = 2.996 / beta.
        depth: depth maps; None: estimated from the ground and the annotated objects, see
            ``depth.py``.
        airlight: RGB in [0, 1]; None: a random one per image.
        inhomogeneity: standard deviation of ln beta over the picture; 0.3 is plainly visible.
        focal: focal length in px, to estimate depth, and to get from depth along the axis to the
            line of sight; None: the longer side of each picture; ``inf`` for maps that hold lengths
            of lines of sight.
        seed: of all that is random.
    """

    visibilities: tuple[float, ...]
    depth: DepthMaps | None = None
    airlight: tuple[float, float, float] | None = None
    inhomogeneity: float = 0.0
    focal: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.visibilities:
            raise UserError("--visibility is missing: give one or more in metres")
        for value in self.visibilities:
            if not 0 < value < np.inf:  # nor nan
                raise UserError(f"--visibility must be above 0 m and finite, got {value:g}")
        names = [f"{value:g}" for value in self.visibilities]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"--visibility {twice[0]} is given twice")
        if self.airlight is not None and not all(0 <= channel <= 1 for channel in self.airlight):
            given = " ".join(map("{:g}".format, self.airlight))
            raise UserError(f"--airlight must be three numbers in [0, 1], got {given}")
        if not 0 <= self.inhomogeneity <= 2:
            raise UserError(f"--inhomogeneity must be in [0, 2], got {self.inhomogeneity:g}")
        if self.focal is not None and not 0 < self.focal < np.inf and not self.ray_maps:
            raise UserError(f"--focal must be above 0 px, got {self.focal:g}")
        if self.seed < 0:
            raise UserError(f"--seed must not be negative, got {self.seed}")

    @property
    def ray_maps(self) -> bool:
        """The maps hold lengths of lines of sight, as a lidar measures them."""
        return self.focal == np.inf and self.depth is not None


@dataclass
class HazeSummary(Summary):
    """What ``haze_images`` did: besides, the data set of each visibility."""

    folders: dict[float, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        times = f" at {len(self.folders)} visibilities" if len(self.folders) > 1 else ""
        return self.line(f"{self.images} images hazed{times}")


@dataclass(frozen=True)
class _HazeJob(Job):
    """An image, its place in the data set and its depth map; its name is that of its pictures."""

    index: int
    depth: Path | None


def haze_images(
    inputs: Sequence[Path | str],
    out: Path | str,
    haze: HazeConditions,
    drop_invalid: bool = False,
    progress: bool = True,
) -> HazeSummary:
    """Write hazy copies of all images, with transmission and annotations, into ``out`` (see the
    module).

    Args:
        inputs: COCO JSON files, Pascal VOC folders, folders of images, images: as ``open_dataset``
            takes them.
        out: the folder to write to; made where missing. Files there that no earlier run wrote are
            left alone; what one wrote at the same visibilities makes way.
        haze: what haze.
        drop_invalid: leave out annotations that are wrong, instead of stopping at the first.
        progress: report progress on stderr.

    Raises:
        UserError: bad input; a depth map is missing; a file is in the way or cannot be written; no
        image can be read.
    """
    output = OutputFolder(Path(out), "haze", "haze.json")
    data, jobs = _plan(inputs, output, haze, drop_invalid)
    names = [f"{value:g}" for value in haze.visibilities]
    labels = [Path(f"visibility-{name}", "annotations.json") for name in names if data.labelled]
    must_stay = [*map(Path, inputs), *(job.source for job in jobs)]
    labels = output.claim(labels, must_stay, rename=False)
    pictures = [path for job in jobs for name in names for path in _paths(job, name)]
    output.claim(pictures, must_stay, rename=False)
    maps = haze.depth and ("disparity" if haze.depth.focal_baseline else "maps")
    options = {"visibilities": list(haze.visibilities), "depth": maps or "estimated"}
    options |= {"inhomogeneity": haze.inhomogeneity, "seed": haze.seed}
    folders = {f"{kind}-{name}" for kind in ("visibility", "transmission") for name in names}

    doubts: list[str] = []  # said once: maps of a wrong unit are so all alike

    def work(batch: list[tuple[_HazeJob, Read]]) -> list[Callable[[], dict[str, Any]]]:
        for job, (_, depth) in batch:
            if haze.depth and job.depth and depth is not None and not doubts:
                doubts.extend(haze.depth.doubts(job.depth, depth, haze.visibilities))
                for doubt in doubts:
                    _log.warning("%s", doubt)
        return [partial(_write, job, *read, data.classes, haze, output) for job, read in batch]

    def annotate(done: list[dict[str, Any]]) -> None:
        number = {job.name.as_posix(): job.index for job in jobs}
        for path in labels:
            coco = to_coco(data, [(number[e["picture"]], e["picture"]) for e in done])
            output.write_text(path, json.dumps(coco))

    outcome = run_jobs(
        jobs,
        partial(_read, data, haze),
        work,
        output,
        options,
        listed_as="pictures",
        # Pictures of an earlier run would join the data set, its labels be wrong.
        stale=lambda name: name.parts[0] in folders,
        last=annotate,
        progress=progress,
    )
    sets = {value: output.path / f"visibility-{value:g}" for value in haze.visibilities}
    done, skipped, seconds = len(outcome.done), outcome.skipped, outcome.seconds
    return HazeSummary(output.path, done, skipped, seconds, sets)


def _plan(
    inputs: Sequence[Path | str], output: OutputFolder, haze: HazeConditions, drop_invalid: bool
) -> tuple[Dataset, list[_HazeJob]]:
    """The images, with names that no two share whatever their suffix."""
    if not inputs:
        raise UserError("no images given; name a COCO JSON, a Pascal VOC folder or an image folder")
    for path in map(Path, inputs):
        if path.is_dir() and path.resolve() == output.path.resolve():
            reason = "is the output folder and an input folder"
            raise UserError(f"{output.path}: {reason}; choose another --out")
    data = open_dataset(*inputs, drop_invalid=drop_invalid)
    files = [Path(os.path.abspath(path)) for path in data.paths]
    ours = {os.path.realpath(output.path / name) for name in output.earlier}
    kept = [i for i, f in enumerate(files) if data.labelled or os.path.realpath(f) not in ours]
    if not kept:
        reason = "no picture in it but those of an earlier run"
        raise UserError(f"{inputs[0]}: {reason}; name the clear ones")
    common = Path(os.path.commonpath([files[i].parent for i in kept]))
    jobs: list[_HazeJob] = []
    for i, unique in zip(kept, names_by_stem([files[i] for i in kept]), strict=True):
        name = files[i].relative_to(common)
        depth = haze.depth.find(name) if haze.depth else None
        jobs.append(_HazeJob(data.paths[i], unique.with_suffix(kept_suffix(name)), i, depth))
    return data, jobs


def _paths(job: _HazeJob, visibility: str) -> tuple[Path, Path]:
    """The picture and the transmission."""
    picture = Path(f"visibility-{visibility}", "images") / job.name
    return picture, Path(f"transmission-{visibility}") / job.name.with_suffix(".png")


def _read(data: Dataset, haze: HazeConditions, job: _HazeJob) -> Read:
    sample = data.load(job.index)
    size = (sample.image.shape[1], sample.image.shape[2])
    return sample, haze.depth.read(job.depth, size) if haze.depth and job.depth else None


def _write(
    job: _HazeJob,
    sample: Sample,
    depth: NDArray[np.float32] | None,
    classes: Sequence[str],
    haze: HazeConditions,
    output: OutputFolder,
) -> dict[str, Any]:
    """Write an image at all visibilities; the entry for the JSON file."""
    airlight, views = hazed_views(sample, depth, classes, haze, job.name.as_posix())
    for value, hazy, map_of_t in views:
        picture, transmitted = (output.path / name for name in _paths(job, f"{value:g}"))
        output.write(picture, partial(save_picture, hazy, job.source))
        output.write(transmitted, partial(map_of_t.save, compress_level=1))
    return {"file": job.source.as_posix(), "picture": job.name.as_posix(), "airlight": airlight}


def hazed_views(
    sample: Sample,
    depth: NDArray[np.float32] | None,
    classes: Sequence[str],
    haze: HazeConditions,
    name: str,
) -> tuple[list[float], Iterator[tuple[float, Image.Image, Image.Image]]]:
    """An image behind haze of all visibilities.

    Args:
        sample: the image, with or without objects.
        depth: metres ``(H, W)``; None: estimated.
        classes: the names that its labels refer to.
        haze: what haze.
        name: what is random about an image is a function of the seed and of this.

    Returns:
        The airlight; and for each visibility the picture and its transmission t as 65535 t, both
        made when they are asked for.
    """
    rng = np.random.default_rng(derive_seed(haze.seed, name))
    airlight = haze.airlight or random_airlight(rng)
    image = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
    if depth is None:
        depth = picture_depth(sample, classes, rng, haze.focal)
    way = ray_length(depth, haze.focal or max(depth.shape))
    patches = (
        np.exp(haze.inhomogeneity * smooth_field(rng, *way.shape, cells=3))
        if haze.inhomogeneity
        else 1.0
    )

    def views() -> Iterator[tuple[float, Image.Image, Image.Image]]:
        for value in haze.visibilities:
            t = transmission(way, extinction(value) * patches)
            # 16 bits: distant pixels in thick haze differ by less than 1/255
            map_of_t = Image.fromarray((65535 * t + 0.5).astype(np.uint16))
            yield value, Image.fromarray(scatter(image, t, airlight)), map_of_t

    return [round(float(channel), 4) for channel in airlight], views()
