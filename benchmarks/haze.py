"""Haze on rendered scenes: how true the estimated depth is, what the augmentation costs, and a
contact sheet.

    uv run python benchmarks/haze.py                               # half a minute
    uv run python benchmarks/haze.py --scenes 4 --rounds 3         # a tiny run
    uv run python benchmarks/haze.py --sheet docs/images/haze.jpg  # and the picture of docs/haze.md

The true depth of the scenes stands beside the one estimated from their annotations, with the true
focal length unknown: errors are given up to one factor per picture.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dmaskrcnn.data import Annotations, Sample
from dmaskrcnn.demo import CLASSES, Scene, render_scene
from dmaskrcnn.draw import contact_sheet
from dmaskrcnn.haze import extinction, ray_length, scatter, transmission
from dmaskrcnn.haze.depth import class_heights, fit_ground, object_depths
from dmaskrcnn.haze.random_haze import HazeAugment
from dmaskrcnn.images.picture_depth import picture_depth

AIRLIGHT = (0.74, 0.75, 0.77)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=30, help="timed calls per scene")
    parser.add_argument("--sheet", type=Path, help="JPEG to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    depth_errors(args.scenes)
    if args.rounds:
        speed(args.rounds)
    if args.sheet:
        write_sheet(args.sheet)


def depth_errors(scenes: int) -> None:
    """Mean error of the distance of objects, and of the depth of the pixels within 60 m."""
    objects, pixels = [], []
    for seed in range(scenes):
        scene = render_scene(seed)
        rng = np.random.default_rng(seed)
        heights = class_heights(CLASSES)[scene.labels]
        ratio = np.log(
            object_depths(scene.boxes, heights, fit_ground(scene.boxes, heights, (160, 224), rng))
            / scene.distances
        )
        objects += list(np.abs(ratio - np.median(ratio)))
        near = scene.depth < 60
        ratio = np.log(picture_depth(sample_of(scene), CLASSES, rng)[near] / scene.depth[near])
        pixels.append(np.abs(ratio - np.median(ratio)).mean())
    print(
        f"objects: {100 * np.expm1(np.mean(objects)):.0f} % mean error of the distance "
        f"({len(objects)} in {scenes} scenes)"
    )
    print(
        f"pixels nearer than 60 m: {100 * np.expm1(np.mean(pixels)):.0f} % (unannotated houses "
        "and trees included)"
    )


def speed(rounds: int) -> None:
    """Milliseconds per picture of 320 x 480 on one core."""
    haze = HazeAugment(1.0, CLASSES)
    times = []
    for seed in range(8):
        sample = sample_of(render_scene(seed, 320, 480))
        for turn in range(rounds):
            began = time.perf_counter()
            haze(sample.image, sample.objects, np.random.default_rng(turn))
            times.append(1000 * (time.perf_counter() - began))
    print(
        f"augmentation of 480 x 320: {min(times):.1f} ms at best, "
        f"{statistics.median(times):.1f} in the median"
    )


def write_sheet(path: Path) -> None:
    """Rows: two scenes with both depths and three visibilities; then two others in random haze of
    the training."""
    size = (176, 256)
    haze = HazeAugment(1.0, CLASSES)
    pictures: list[NDArray[np.uint8] | torch.Tensor] = []
    for seed in (9, 21):
        scene = render_scene(seed, *size)
        focal = 1.03 * size[1]  # near the scenes' own, which varies
        depth = picture_depth(sample_of(scene), CLASSES, np.random.default_rng(3), focal)
        way = ray_length(depth, focal)
        hazy = [
            scatter(scene.image, transmission(way, extinction(v)), AIRLIGHT) for v in (400, 150, 50)
        ]
        pictures += [scene.image, shades(scene.depth), shades(depth), *hazy]
    for seed in (4, 35):
        sample = sample_of(render_scene(seed, *size))
        pictures.append(sample.image)
        pictures += [
            haze(sample.image, sample.objects, np.random.default_rng(10 * seed + i))
            for i in range(5)
        ]
    captions = [
        "clear",
        "true depth",
        "estimated depth",
        *(f"estimated depth, {v} m" for v in (400, 150, 50)),
    ]
    captions += [""] * 6 + ["clear", *["--haze-augment"] * 5] + [""] * 6
    contact_sheet(pictures, 6, captions, cell_width=size[1]).save(path, quality=88)
    print(path)


def shades(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Grey of inverse depth, white at 5 m and nearer, ``(H, W, 3)``."""
    grey = (255 * np.clip(5 / depth, 0, 1) ** 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def sample_of(scene: Scene) -> Sample:
    """A scene as the data sets give it."""
    no = torch.zeros(len(scene.labels), dtype=torch.bool)
    objects = Annotations(
        torch.from_numpy(scene.boxes),
        torch.from_numpy(scene.labels),
        torch.from_numpy(scene.masks),
        ~no,
        no,
        no.clone(),
    )
    return Sample(torch.from_numpy(scene.image).permute(2, 0, 1), Path("scene.png"), 0, objects)


if __name__ == "__main__":
    main()
