"""What a large photograph costs a training before the network sees it: read at the size that is
needed, against read whole and reduced.

    python benchmarks/loading.py            # a minute on an idle core
    python benchmarks/loading.py --tiny     # seconds, and the numbers say nothing

A JPEG of 3840 x 2160 with 20 polygons of 100 points, for 800 x 1333 with a scale jitter of 0.8 to
1.25, as the presets have it. Milliseconds of processor time on one thread, all ways in turn; peak
memory is that of a process of its own, above what it had before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROWS = {
    "decoding": (
        "decoded whole",
        "decoded at the size that is needed",
        "for 320 px with a jitter of 0.7 to 1.3: a quarter",
        "an eighth: reading the file's code is nearly all",
    ),
    "masks": ("masks of the file's size, reduced", "polygons rasterised at the size"),
    "sample": ("a training sample: whole, then resampled", "the same as `train` reads it"),
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tiny", action="store_true", help="a picture of 640 x 480, two rounds")
    parser.add_argument("--alone", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(peak_of(Path(arguments.alone[1]), arguments.alone[0], arguments.tiny))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder, arguments.tiny)
        # first: a process that a large one starts begins with the peak of that
        names = [name for names in ROWS.values() for name in names]
        peaks = {name: alone(name, folder, arguments.tiny) for name in names}
        times = measure(folder, 2 if arguments.tiny else arguments.rounds, arguments.tiny)
    print("| | ms | of the whole | memory, MB |\n|---|---:|---:|---:|")
    for names in ROWS.values():
        whole = names[0]
        for name in names:
            share = statistics.median(
                one / other for one, other in zip(times[name], times[whole], strict=True)
            )
            low, high = min(times[name]), max(times[name])
            spread = f"{statistics.median(times[name]):.1f} ({low:.1f} to {high:.1f})"
            print(f"| {name} | {spread} | {share:.2f} | {peaks[name]:.0f} |")


def write_data(folder: Path, tiny: bool) -> None:
    """``photograph.jpg`` and ``truth.json``."""
    width, height = (640, 480) if tiny else (3840, 2160)
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (108, 192, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    picture.save(folder / "photograph.jpg", quality=90)
    annotations = [_object(number, random, width, height) for number in range(1, 21)]
    image = {"id": 1, "file_name": "photograph.jpg", "height": height, "width": width}
    labels = {"images": [image], "annotations": annotations}
    labels |= {"categories": [{"id": 1, "name": "car"}]}
    (folder / "truth.json").write_text(json.dumps(labels))


def _object(number: int, random: np.random.Generator, width: int, height: int) -> dict:
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    radius = height * random.uniform(0.02, 0.2) * (1 + 0.2 * np.sin(5 * angle))
    x, y = random.uniform(0.3, 0.7, 2) * (width, height)
    points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": [points.ravel().tolist()],
    }


def ways(folder: Path, tiny: bool) -> dict[str, Callable[[], object]]:
    """What is measured."""
    import torch

    from dmaskrcnn.data import Augmentation, open_dataset
    from dmaskrcnn.data.augment import resample
    from dmaskrcnn.data.image import decode_reduced

    torch.set_num_threads(1)
    data = open_dataset(folder / "truth.json")
    short, long = (100, 160) if tiny else (800, 1333)
    augment = Augmentation(short, long, scale=(0.8, 1.25))
    photograph, sample = folder / "photograph.jpg", data.load(0, augment.least)
    small = torch.zeros(3, *(side // 2 for side in sample.size), dtype=torch.uint8)

    def masks(full: bool) -> object:
        objects = data.annotations(0)
        if full:
            assert len(objects.masks) == len(objects)
        sample.image, sample.objects, sample.reduced = small, objects, 2
        return resample(sample, short, long)

    def whole() -> object:
        loaded = data.load(0)
        assert loaded.objects is not None
        assert len(loaded.objects.masks)
        return augment(loaded, 0)

    each = (
        lambda: decode_reduced(photograph, None),
        lambda: decode_reduced(photograph, augment.least),
        lambda: decode_reduced(photograph, Augmentation(320, 640, scale=(0.7, 1.3)).least),
        lambda: decode_reduced(photograph, Augmentation(100, 400).least),
        lambda: masks(True),
        lambda: masks(False),
        whole,
        lambda: augment(data.load(0, augment.least), 0),
    )
    return dict(zip((name for names in ROWS.values() for name in names), each, strict=True))


def measure(folder: Path, rounds: int, tiny: bool) -> dict[str, list[float]]:
    """Milliseconds of each way, round by round."""
    each = ways(folder, tiny)
    times: dict[str, list[float]] = {name: [] for name in each}
    for _ in range(rounds + 1):  # the first one warms up
        for name, way in each.items():
            began = time.process_time()
            way()
            times[name].append(1000 * (time.process_time() - began))
    return {name: of_each[1:] for name, of_each in times.items()}


def alone(name: str, folder: Path, tiny: bool) -> float:
    """The memory that a way takes."""
    command = [sys.executable, __file__, "--alone", name, str(folder), *["--tiny"] * tiny]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(ran.stdout.split()[-1])


def peak_of(folder: Path, name: str, tiny: bool) -> float:
    """MB that the process grows by."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    way = ways(folder, tiny)[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    way()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
