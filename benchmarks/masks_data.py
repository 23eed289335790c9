"""Synthetic images for `benchmarks/masks.py`: objects as polygons, detections as run lengths."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from dmaskrcnn.data.packed_masks import Crop, PackedMasks

HEIGHT, WIDTH = 480, 640
OBJECTS, DETECTIONS, CLASSES = 10, 50, 5


def write_data(folder: Path, images: int) -> None:
    """``truth.json``, ``found.json`` and an empty file for each picture. Objects are polygons,
    detections are ellipses near them, or anywhere."""
    random = np.random.default_rng(0)
    picture = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(picture, "JPEG")
    (folder / "images").mkdir(exist_ok=True)
    entries, annotations, results = [], [], []
    for image in range(1, images + 1):
        name = f"{image:06d}.jpg"
        (folder / "images" / name).write_bytes(picture.getvalue())
        size = {"height": HEIGHT, "width": WIDTH}
        entries.append({"id": image, "file_name": f"images/{name}", **size})
        real = [_ellipse(random) for _ in range(OBJECTS)]
        for label, (box, points, _) in real:
            _, _, w, h = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": label,
                    "bbox": box,
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [np.round(points, 2).ravel().tolist()],
                }
            )
        near = [_ellipse(random, real[int(random.integers(OBJECTS))]) for _ in range(25)]
        found = near + [_ellipse(random) for _ in range(DETECTIONS - 25)]
        crops = [Crop(*crop) for _, (_, _, crop) in found]
        rles = PackedMasks.of_crops(HEIGHT, WIDTH, crops).rles
        for (label, (box, _, _)), rle in zip(found, rles, strict=True):
            score = round(float(random.random()), 4)
            one = {"image_id": image, "category_id": label, "bbox": box, "score": score}
            results.append({**one, "segmentation": rle})
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    truth = {"images": entries, "annotations": annotations, "categories": categories, "info": {}}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))


def _ellipse(random: np.random.Generator, near: tuple | None = None) -> tuple:
    """A label, and the box, the outline and the window of an ellipse, perhaps near another one."""
    if near is None:
        label, half = int(random.integers(1, CLASSES + 1)), random.uniform(8, 90, 2)
        middle = random.uniform(half, (WIDTH - half[0], HEIGHT - half[1]))
    else:
        label, ((x, y, w, h), _, _) = near
        half = np.array([w, h]) / 2 * random.normal(1, 0.1, 2).clip(0.7, 1.3)
        middle = np.array([x + w / 2, y + h / 2]) + random.normal(0, 0.1, 2) * half
    low, high = (middle - half).clip(0), (middle + half).clip(None, (WIDTH - 1, HEIGHT - 1))
    middle, half = (low + high) / 2, (high - low) / 2
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = middle + half * np.stack([np.cos(angles), np.sin(angles)], 1)
    top, left = int(low[1]), int(low[0])
    y, x = np.mgrid[top : int(high[1]) + 1, left : int(high[0]) + 1]
    inside = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 < 1
    box = [*low.round(2).tolist(), *(high - low).round(2).tolist()]
    return label, (box, points, (top, left, inside))
