"""Rendered scenes: as a folder that every reader of COCO JSON understands, and as clear pictures
with their depth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dmaskrcnn.data.rle import run_lengths
from dmaskrcnn.dehazing.synthesis import SIZE, Clear
from dmaskrcnn.demo.street import Scene, render_scene
from dmaskrcnn.demo.things import CLASSES
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write, save_picture_whole, write_text
from dmaskrcnn.haze import add_haze, extinction, random_airlight


def rendered_pictures(count: int, seed: int, progress: bool = True) -> Iterator[Clear]:
    """Clear street scenes with their true depth, to train a dehazer on (0.2 s each); no street is
    one of ``write_scenes``."""
    for index in _bar(count, "rendering", "scene", progress):
        scene = render_scene(seed * 1_000_000 + 500_000 + index, *SIZE)
        yield Clear(scene.image, scene.depth)


def write_scenes(
    folder: Path,
    count: int,
    seed: int,
    size: tuple[int, int] = (160, 224),
    visibility: tuple[float, float] | None = None,
    *,
    labelled: bool = True,
    progress: bool = False,
) -> Path:
    """Render scenes into ``folder``: ``images/000000.png`` and so on, and ``annotations.json``
    beside them.

    The same seed gives the same streets with and without haze; different seeds share no street.

    Args:
        folder: new or empty.
        count: how many, at most a million.
        seed: >= 0.
        size: height and width in pixels.
        visibility: lowest and highest meteorological visibility in metres, for haze; None for clear
            air.
        labelled: write ``annotations.json`` (COCO, instance masks as RLE); without it, the folder
            holds images only.
        progress: show a progress bar.

    Returns:
        ``folder``.

    Raises:
        UserError: the folder is not empty or cannot be written to.
    """
    pictures = folder / "images"
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        if any(pictures.iterdir()) or (folder / "annotations.json").exists():
            remedy = "name a new folder for the rendered scenes"
            raise UserError(f"{folder}: already holds files; {remedy}")
    except OSError as error:
        reason = f"cannot hold the rendered scenes ({error.strerror})"
        raise UserError(f"{folder}: {reason}; choose another folder") from error
    images, annotations = [], []
    for index in _bar(count, f"rendering {folder.name}", "image", progress):
        scene = render_scene(seed * 1_000_000 + index, *size)
        clear = visibility is None
        pixels = scene.image if clear else _through_haze(scene, visibility, seed, index)
        name = f"{index:06d}.png"
        # level 1: rendering is what takes the time
        picture = partial(save_picture_whole, Image.fromarray(pixels), compress_level=1)
        atomic_write(pictures / name, picture)
        images.append({"id": index + 1, "file_name": name, "height": size[0], "width": size[1]})
        objects = zip(scene.boxes.tolist(), scene.labels.tolist(), scene.masks, strict=True)
        for (x0, y0, x1, y1), label, mask in objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(mask.sum()),
                    "segmentation": {"size": list(size), "counts": run_lengths(mask)},
                    "iscrowd": 0,
                }
            )
    if labelled:
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
        coco = {"images": images, "annotations": annotations, "categories": categories}
        write_text(folder / "annotations.json", json.dumps(coco, separators=(",", ":")))
    return folder


def _bar(count: int, title: str, unit: str, progress: bool) -> Iterable[int]:
    hidden = None if progress else True  # None: hidden where stderr is no terminal
    return tqdm(range(count), title, unit=unit, disable=hidden, leave=False)


def _through_haze(
    scene: Scene, visibility: tuple[float, float], seed: int, index: int
) -> NDArray[np.uint8]:
    """The scene in fog: a visibility even in its logarithm, drifting patches, the glow and the
    noise of a foggy photograph."""
    rng = np.random.default_rng([seed, index, 1])
    metres = float(np.exp(rng.uniform(*np.log(visibility))))
    blur, haze = 0.003 * scene.image.shape[1], (extinction(metres), random_airlight(rng))
    looks = {"inhomogeneity": 0.25, "blur": blur, "noise": 0.015}
    return add_haze(scene.image, scene.depth, *haze, **looks, rng=rng)
