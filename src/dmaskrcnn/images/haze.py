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
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from dmaskrcnn.data.coco_writer import to_coco
from dmaskrcnn.data.dataset import Dataset, open_dataset
from dmaskrcnn.data.sample import Sample
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, derive_seed, write_text
from dmaskrcnn.haze.depth import EDGE, FAR, WINDOW, estimate_layout, reduced_objects, scene_depth
from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.haze.filters import fast_guided_filter
from dmaskrcnn.haze.scattering import (
    extinction,
    random_airlight,
    scatter,
    smooth_field,
    transmission,
)
from dmaskrcnn.images.jobs import Outcome, run_jobs
from dmaskrcnn.images.output import kept_suffix, save_picture

FORMAT = "dmaskrcnn haze 1"
REDUCED = 160  # px of the longer side of the picture in which depth is estimated


@dataclass(frozen=True)
class HazeConditions:
    """What haze images are put behind.

    Attributes:
        visibilities: meteorological visibilities in metres, V = 3.912 / beta.
        depth: depth maps; None: estimated from the ground and the annotated objects, see
            ``depth.py``.
        airlight: RGB in [0, 1]; None: a random one per image.
        inhomogeneity: standard deviation of ln beta over the picture; 0.3 is plainly visible.
        focal: focal length in px for the estimated depth; None: the longer side of each picture.
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
            raise UserError(
                "--airlight must be three numbers in [0, 1], got "
                f"{' '.join(map('{:g}'.format, self.airlight))}"
            )
        if not 0 <= self.inhomogeneity <= 2:
            raise UserError(f"--inhomogeneity must be in [0, 2], got {self.inhomogeneity:g}")
        if self.focal is not None and not 0 < self.focal < np.inf:
            raise UserError(f"--focal must be above 0 px, got {self.focal:g}")
        if self.focal is not None and self.depth is not None:
            raise UserError("--focal has no use with depth maps: leave it out")
        if self.seed < 0:
            raise UserError(f"--seed must not be negative, got {self.seed}")


@dataclass
class HazeSummary:
    """What ``haze_images`` did.

    Attributes:
        out: the folder.
        folders: the data set of each visibility.
        images: the number of images.
        skipped: file and reason of each image that could not be read.
        seconds: wall time.
    """

    out: Path
    folders: dict[float, Path] = field(default_factory=dict)
    images: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        skipped = f", {len(self.skipped)} unreadable skipped" if self.skipped else ""
        times = f" at {len(self.folders)} visibilities" if len(self.folders) > 1 else ""
        return f"{self.images} images hazed{times}{skipped}, {self.seconds:.1f} s: {self.out}"


@dataclass(frozen=True)
class _Job:
    """One image: its place in the data set, its file, the path its pictures get in each folder, and
    its depth map."""

    index: int
    source: Path
    name: Path
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
    out = Path(out)
    index = out / "haze.json"
    earlier = _listed(index)
    data, jobs = _plan(inputs, out, haze, drop_invalid)
    names = {value: f"{value:g}" for value in haze.visibilities}
    folders = {value: out / f"visibility-{name}" for value, name in names.items()}
    indices = [folder / "annotations.json" for folder in folders.values()] if data.labelled else []
    outputs = {
        f"{kind}-{name}" for kind in ("visibility", "transmission") for name in names.values()
    }
    planned = {
        *indices,
        *(path for job in jobs for value in names for path in _paths(out, job, names[value])),
    }
    inputs_resolved = {os.path.realpath(job.source) for job in jobs}
    for path in sorted(planned):
        if os.path.realpath(path) in inputs_resolved:
            raise UserError(f"{path}: is an input and would be overwritten; choose another --out")
        if path.exists() and path not in earlier:
            raise UserError(
                f"{path}: exists and was not written by dmaskrcnn haze; choose another --out"
            )
    described = {
        "format": FORMAT,
        "visibilities": list(haze.visibilities),
        "depth": "estimated"
        if haze.depth is None
        else "disparity"
        if haze.depth.focal_baseline
        else "maps",
        "inhomogeneity": haze.inhomogeneity,
        "seed": haze.seed,
    }
    begun = False

    def work(
        batch: list[tuple[_Job, tuple[Sample, NDArray[np.float32] | None]]],
    ) -> list[Callable[[], dict[str, Any]]]:
        nonlocal begun
        if not begun:  # from here on what is planned is ours, even if a run is killed
            ours = sorted(path.relative_to(out).as_posix() for path in planned | earlier)
            write_text(
                index,
                json.dumps(
                    {**described, "complete": False, "pictures": [], "files": ours}, indent=1
                )
                + "\n",
            )
            _clear_away(
                {path for path in earlier - planned if path.relative_to(out).parts[0] in outputs}
            )
            begun = True
        return [
            partial(_write, job, sample, depth, data.classes, haze, out)
            for job, (sample, depth) in batch
        ]

    def save(outcome: Outcome[dict[str, Any]]) -> None:
        number = {job.name.as_posix(): job.index for job in jobs}
        if data.labelled:
            coco = json.dumps(
                to_coco(data, [(number[e["picture"]], e["picture"]) for e in outcome.done])
            )
            for path in indices:
                write_text(path, coco)
        content = {
            **described,
            "complete": outcome.complete,
            "pictures": outcome.done,
            "skipped": outcome.skipped_entries,
        }
        content["files"] = sorted(
            path.relative_to(out).as_posix() for path in planned | earlier if path.exists()
        )
        write_text(index, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    outcome = run_jobs(jobs, partial(_read, data, haze), work, save, "haze", progress=progress)
    return HazeSummary(out, folders, len(outcome.done), outcome.skipped, outcome.seconds)


def _plan(
    inputs: Sequence[Path | str], out: Path, haze: HazeConditions, drop_invalid: bool
) -> tuple[Dataset, list[_Job]]:
    """The images, with names that no two share whatever their suffix."""
    if not inputs:
        raise UserError("no images given; name a COCO JSON, a Pascal VOC folder or an image folder")
    for path in map(Path, inputs):
        if path.is_dir() and path.resolve() == out.resolve():
            raise UserError(
                f"{out}: is the output folder and an input folder; choose another --out"
            )
    data = open_dataset(*inputs, drop_invalid=drop_invalid)
    files = [Path(os.path.abspath(path)) for path in data.paths]
    kept = [
        i
        for i, file in enumerate(files)
        if data.labelled or out.resolve() not in file.resolve().parents
    ]
    if not kept:
        raise UserError(
            f"{inputs[0]}: no picture in it but those of an earlier run; name the clear ones"
        )
    common = Path(os.path.commonpath([files[i].parent for i in kept]))
    jobs: list[_Job] = []
    taken: set[str] = set()
    for i in kept:
        name = files[i].relative_to(common)
        depth = haze.depth.find(name) if haze.depth else None
        number, unique = 1, name
        while unique.with_suffix("").as_posix().casefold() in taken:
            number += 1
            unique = name.with_name(f"{name.stem}-{number}{name.suffix}")
        taken.add(unique.with_suffix("").as_posix().casefold())
        jobs.append(_Job(i, data.paths[i], unique.with_suffix(kept_suffix(name)), depth))
    return data, jobs


def _listed(index: Path) -> set[Path]:
    """The files of earlier runs. Raises UserError if there is a file of this name that no run
    wrote."""
    if not index.exists():
        return set()
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        if content["format"] == FORMAT:
            names = [
                name
                for name in content["files"]
                if not Path(name).is_absolute() and ".." not in Path(name).parts
            ]
            return {index.parent / name for name in names if Path(name).parts}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{index}: exists and was not written by dmaskrcnn haze; choose another --out")


def _clear_away(files: set[Path]) -> None:
    """Delete what an earlier run left in a folder written anew: its pictures would join the data
    set, its labels be wrong."""
    for path in files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{path}: cannot be removed ({error.strerror}); choose another --out"
            ) from error


def _paths(out: Path, job: _Job, visibility: str) -> tuple[Path, Path]:
    """The picture and the transmission."""
    picture = out / f"visibility-{visibility}" / "images" / job.name
    return picture, out / f"transmission-{visibility}" / job.name.with_suffix(".png")


def _read(
    data: Dataset, haze: HazeConditions, job: _Job
) -> tuple[Sample, NDArray[np.float32] | None]:
    sample = data.load(job.index)
    size = (sample.image.shape[1], sample.image.shape[2])
    return sample, haze.depth.read(job.depth, size) if haze.depth and job.depth else None


def _write(
    job: _Job,
    sample: Sample,
    depth: NDArray[np.float32] | None,
    classes: Sequence[str],
    haze: HazeConditions,
    out: Path,
) -> dict[str, Any]:
    """Write an image at all visibilities; the entry for the JSON file."""
    rng = np.random.default_rng(derive_seed(haze.seed, job.name.as_posix()))
    airlight = haze.airlight or random_airlight(rng)
    image = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
    if depth is None:
        depth = picture_depth(sample, classes, rng, haze.focal)
    patches = (
        np.exp(haze.inhomogeneity * smooth_field(rng, *depth.shape, cells=3))
        if haze.inhomogeneity
        else 1.0
    )
    for value in haze.visibilities:
        t = transmission(depth, extinction(value) * patches)
        picture, map_of_t = _paths(out, job, f"{value:g}")
        save_picture(Image.fromarray(scatter(image, t, airlight)), picture, job.source)
        pixels = Image.fromarray((65535 * t + 0.5).astype(np.uint16))
        atomic_write(map_of_t, lambda path, pixels=pixels: pixels.save(path, compress_level=1))
    return {
        "file": job.source.as_posix(),
        "picture": job.name.as_posix(),
        "airlight": [round(float(c), 4) for c in airlight],
    }


def picture_depth(
    sample: Sample, classes: Sequence[str], rng: np.random.Generator, focal: float | None = None
) -> NDArray[np.float32]:
    """The depth of a photograph of a street, estimated from the ground and the annotated objects.

    Args:
        sample: of any size, with or without objects.
        classes: the names that its labels refer to.
        rng: of what the picture does not tell: the distance of its background; without objects, the
            horizon too.
        focal: focal length in px; by default the longer side of the picture.

    Returns:
        float32 ``(H, W)``, metres in (0, FAR].
    """
    image = sample.image.contiguous().float()
    longer = max(image.shape[-2:])
    step = max(1, round(longer / REDUCED))
    small = F.avg_pool2d(image, step, ceil_mode=True)
    boxes, heights, masks = reduced_objects(sample.objects, classes, step)
    ground, depths, _, background = estimate_layout(
        small.numpy(), boxes, heights, rng, (focal or longer) / step
    )
    boxed = np.array([mask is None for mask in masks], dtype=bool)
    depth = scene_depth(
        boxes[boxed],
        depths[boxed],
        [None] * int(boxed.sum()),
        ground,
        (small.shape[-2], small.shape[-1]),
        background,
    )
    guides = image.mean(0).div_(255), small.mean(0).div_(255)
    inverse = fast_guided_filter(*guides, torch.from_numpy(1 / depth), WINDOW, EDGE)
    # masks come last, in full size: the filter would draw a rim of clear air around them
    if sample.objects is not None:
        for i in np.flatnonzero(~boxed):
            cover = F.avg_pool2d(
                sample.objects.masks[i][None].float(), 3, 1, 1, count_include_pad=False
            )[0]
            inverse = torch.maximum(inverse, inverse + cover * (1 / float(depths[i]) - inverse))
    return (1 / inverse.clamp_(min=1 / FAR)).numpy()
