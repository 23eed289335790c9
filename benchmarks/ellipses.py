"""Pictures of noise, 640 x 480 px as COCO's, with elliptic objects; as JPEG, with polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

OBJECTS = 8  # per picture; COCO has 7.3 on average
CORNERS = 32  # of a polygon


def write_pictures(folder: Path, count: int) -> Path:
    """Write so many, unless they are there, and give the annotations."""
    file = folder / "annotations.json"
    if file.exists():
        return file
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    images, annotations = [], []
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    for number in range(count):
        noise = Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        noise.resize((640, 480)).save(folder / "images" / f"{number}.jpg", quality=90)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 640, "height": 480})
        for _ in range(OBJECTS):
            radius = random.uniform(10, 120, 2)
            centre = random.uniform(radius, np.array((640, 480)) - radius)
            outline = centre + radius * np.stack((np.cos(angles), np.sin(angles)), 1)
            box = [*(centre - radius), *(2 * radius)]
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": int(random.integers(6)),
                    "bbox": [round(float(v), 2) for v in box],
                    "area": float(np.pi * radius.prod()),
                    "iscrowd": 0,
                    "segmentation": [outline.round(2).flatten().tolist()],
                }
            )
    categories = [{"id": i, "name": f"class {i}"} for i in range(6)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(data), encoding="utf-8")
    return file
