"""How long a large COCO JSON takes to open, and how much memory, against faster-coco-eval's index
of it; each in a process of its own, in turn.

    python benchmarks/large_data.py --share 0.1                       # a tenth of COCO train2017
    python benchmarks/large_data.py --share 1 --folder coco-in-size   # keeps the 480 MB

The annotations are synthetic, of the numbers of images, objects and corners that train2017 has. The
pictures are there, as links to a few: `open_dataset` looks for them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES, OBJECTS, CLASSES = 118_287, 860_001, 80
SIZES = ((480, 640), (640, 480), (427, 640), (640, 640))
LINKS = 50_000  # to one file; file systems allow 65,000 or so

# prints: processor seconds, peak MB
OPENED = {
    "open_dataset": "from dmaskrcnn.data import open_dataset as opened",
    "faster-coco-eval": "from faster_coco_eval import COCO as opened",
}
TIMED = """
import resource, sys, time
began = time.process_time()
opened(sys.argv[1])
unit = 2**20 if sys.platform == "darwin" else 2**10
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
print(time.process_time() - began, peak, file=sys.stderr)
"""


def main() -> None:
    """Write what is missing, open it in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.1, help="of the size of train2017")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the data are kept and found again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        file = write_data(folder, round(IMAGES * arguments.share), round(OBJECTS * arguments.share))
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in OPENED}
        for _ in range(arguments.rounds):
            for name, rows in measured.items():
                rows.append(opened(name, file))
        print(table(measured))


def write_data(folder: Path, images: int, objects: int) -> Path:
    """The annotations (unless they are there) and the pictures that they name."""
    file = folder / "annotations" / f"instances_{images}_{objects}.json"
    if file.is_file():
        return file
    random = np.random.default_rng(0)
    pictures = folder / f"pictures_{images}"
    for part in (file.parent, pictures):
        part.mkdir(parents=True, exist_ok=True)
    described = [_image(pictures, index) for index in range(images)]
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    with open(file, "w", encoding="utf-8") as out:
        out.write(f'{{"images": {json.dumps(described)}, "annotations": [')
        for index, owner in enumerate(random.integers(0, images, objects)):
            entry = _object(random, index, described[int(owner)])
            out.write(", " * bool(index) + json.dumps(entry))
        out.write(f'], "categories": {json.dumps(categories)}}}')
    return file


def _image(folder: Path, index: int) -> dict:
    height, width = SIZES[index % len(SIZES)]
    name = f"{index + 1:012d}.jpg"
    first = folder / f"{index - index // len(SIZES) % LINKS * len(SIZES) + 1:012d}.jpg"
    if not first.exists():
        Image.new("RGB", (width, height)).save(first)
    if not (folder / name).exists():
        os.link(first, folder / name)
    file_name = f"../{folder.name}/{name}"
    return {"id": index + 1, "file_name": file_name, "height": height, "width": width}


def _object(random: np.random.Generator, index: int, image: dict) -> dict:
    """An object of 3 to 200 corners, every 86th a crowd in run lengths, as in train2017."""
    height, width = image["height"], image["width"]
    radius = min(height, width) * 0.45 * random.beta(1, 4) + 3
    x, y = random.uniform(radius, width - radius), random.uniform(radius, height - radius)
    corners = int(min(200, 3 + random.gamma(2.0, 11)))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1).round(2)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    segmentation: object = [points.ravel().tolist()]
    if crowd := int(index % 86 == 0):
        before = height * width // 3
        counts = [before, 50, height * width - before - 50]
        segmentation = {"counts": counts, "size": [height, width]}
    return {
        "id": index + 1,
        "image_id": image["id"],
        "category_id": int(random.integers(1, CLASSES + 1)),
        "bbox": [round(v, 2) for v in (left, top, right - left, bottom - top)],
        "area": round((right - left) * (bottom - top), 2),
        "iscrowd": crowd,
        "segmentation": segmentation,
    }


def opened(name: str, file: Path) -> tuple[float, float]:
    """Processor seconds and peak MB of one opening, imports not counted in the seconds."""
    command = [sys.executable, "-c", OPENED[name] + TIMED, str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = ran.stderr.splitlines()[-1].split()
    return float(seconds), float(peak)


def table(measured: dict[str, list[tuple[float, float]]]) -> str:
    """Medians, and the ratios of each round."""
    lines = ["| | processor seconds | peak memory, MB |", "|---|---:|---:|"]
    for name, rows in measured.items():
        seconds, peaks = zip(*rows, strict=True)
        middle = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        lines.append(f"| {name} | {middle} | {max(peaks):.0f} |")
    ratios = [a[0] / b[0] for a, b in zip(*measured.values(), strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    lines.append(f"| ratio, round by round | {statistics.median(ratios):.2f} ({spread}) | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
