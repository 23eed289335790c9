"""Haze on rendered scenes: how true the estimated depth is, what the augmentation costs, and a contact sheet.

    uv run python benchmarks/haze.py                                  # half a minute
    uv run python benchmarks/haze.py --scenes 4 --rounds 3            # a tiny run
    uv run python benchmarks/haze.py --sheet docs/images/haze.jpg     # and the picture of docs/haze.md

The true depth of the scenes stands beside the one estimated from their annotations, with the true focal length unknown: errors
are given up to one factor per picture.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dmaskrcnn.data import Annotations, Sample
from dmaskrcnn.haze import extinction, scatter, transmission
from dmaskrcnn.haze.augment import HazeAugment
from dmaskrcnn.haze.depth import class_heights, fit_ground, object_depths
from dmaskrcnn.haze.folder import picture_depth
from dmaskrcnn.scenes import render_scene
from dmaskrcnn.scenes.street import CLASSES, Scene

AIRLIGHT = (0.74, 0.75, 0.77)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=30, help="timed calls per scene")
    parser.add_argument("--sheet", type=Path, help="JPEG to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    depth_errors(args.scenes)
    if args.rounds:
        speed(args.rounds)
    if args.sheet:
        contact_sheet(args.sheet)


def depth_errors(scenes: int) -> None:
    """Mean error of the distance of objects, and of the depth of the pixels within 60 m."""
    objects, pixels = [], []
    for seed in range(scenes):
        scene = render_scene(seed)
        rng = np.random.default_rng(seed)
        heights = class_heights(CLASSES)[scene.labels]
        ratio = np.log(object_depths(scene.boxes, heights, fit_ground(scene.boxes, heights, (160, 224), rng)) / scene.distances)
        objects += list(np.abs(ratio - np.median(ratio)))
        near = scene.depth < 60
        ratio = np.log(picture_depth(sample_of(scene), CLASSES, rng)[near] / scene.depth[near])
        pixels.append(np.abs(ratio - np.median(ratio)).mean())
    print(f"objects: {100 * np.expm1(np.mean(objects)):.0f} % mean error of the distance ({len(objects)} in {scenes} scenes)")
    print(f"pixels nearer than 60 m: {100 * np.expm1(np.mean(pixels)):.0f} % (unannotated houses and trees included)")


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
    print(f"augmentation of 480 x 320: {min(times):.1f} ms at best, {statistics.median(times):.1f} in the median")


def contact_sheet(path: Path) -> None:
    """Rows: scenes. Columns: clear, estimated inverse depth, three visibilities, and below them random haze of the training."""
    size, gap, title = (176, 256), 4, 20
    haze = HazeAugment(1.0, CLASSES)
    columns = ("clear", "estimated depth", "visibility 150 m", "50 m", "20 m")
    rows: list[list[NDArray[np.uint8]]] = []
    for seed in (9, 21):
        scene = render_scene(seed, *size)
        sample = sample_of(scene)
        depth = picture_depth(sample, CLASSES, np.random.default_rng(3), focal=1.03 * size[1])
        grey = (255 * np.clip(5 / depth, 0, 1) ** 0.5).astype(np.uint8)
        hazy = [scatter(scene.image, transmission(depth, extinction(v)), AIRLIGHT) for v in (150, 50, 20)]
        rows.append([scene.image, np.repeat(grey[..., None], 3, 2), *hazy])
    for seed in (4, 35):
        sample = sample_of(render_scene(seed, *size))
        samples = [haze(sample.image, sample.objects, np.random.default_rng(10 * seed + i)) for i in range(5)]
        rows.append([s.permute(1, 2, 0).numpy() for s in samples])
    height, width = len(rows) * (size[0] + gap) + 2 * title, 5 * (size[1] + gap) - gap
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = number * (size[0] + gap) + title * (1 + (number >= 2))
        for column, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (column * (size[1] + gap), top))
    for column, name in enumerate(columns):
        draw.text((column * (size[1] + gap) + 2, 3), name, fill="black", font_size=13)
    draw.text((2, 2 * (size[0] + gap) + title + 2), "--haze-augment: random haze of the training", fill="black", font_size=13)
    sheet.save(path, quality=88)
    print(path)


def sample_of(scene: Scene) -> Sample:
    """A scene as the data sets give it."""
    no = torch.zeros(len(scene.labels), dtype=torch.bool)
    objects = Annotations(
        torch.from_numpy(scene.boxes), torch.from_numpy(scene.labels), torch.from_numpy(scene.masks), ~no, no, no.clone()
    )
    return Sample(torch.from_numpy(scene.image).permute(2, 0, 1), Path("scene.png"), 0, objects)


if __name__ == "__main__":
    main()
