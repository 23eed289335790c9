"""What masks cost: scoring them against faster-coco-eval, and a 4K prediction against its network.

    python benchmarks/masks.py                               # all of it, about 10 minutes on a core
    python benchmarks/masks.py --images 5000 --rounds 1 --parts scoring
    python benchmarks/masks.py --images 20 --rounds 1 --tiny # a minute

Scoring: synthetic images of 480 x 640 with 10 objects and 50 detections each, in 5 classes; box and
mask AP. ``in memory``: from `Detections` as a detector gives them, and from entries of COCO's form
that were read before; ``from files``: the two JSON files opened, too. This package computes Pascal
VOC's and the authors' metric besides, and ``with intervals`` resamples the images 1,000 times.
Prediction: a detector with random weights, which finds 10 objects anywhere. Everything is timed in
turn, in processor seconds of one thread; peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from masks_data import DETECTIONS, write_data
from PIL import Image

Times = dict[str, list[float]]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="*", default=["scoring", "memory", "prediction"])
    parser.add_argument(
        "--tiny", action="store_true", help="pictures of 200 x 300, a small network"
    )
    parser.add_argument("--alone", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        what, folder = arguments.alone
        ALONE[what](Path(folder), arguments.tiny)
        unit = 2**20 if sys.platform == "darwin" else 2**10
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder, arguments.images)
        if "scoring" in arguments.parts:
            print(table(scoring(folder, arguments.rounds), "faster-coco-eval"), flush=True)
        if "memory" in arguments.parts:
            print(memory(folder, arguments.images, arguments.tiny), flush=True)
        if "prediction" in arguments.parts:
            print(table(prediction(arguments.rounds, arguments.tiny), "the network"), flush=True)


# --- scoring --------------------------------------------------------------------------------------


def scoring(folder: Path, rounds: int) -> Times:
    """The seconds of each way to score, round by round."""
    from dmaskrcnn.evaluation.labelled import open_test_set
    from dmaskrcnn.evaluation.score import score

    test = open_test_set(folder / "truth.json", groups="none")
    found = list(test.results(folder / "found.json"))
    real = quiet(lambda: COCO(str(folder / "truth.json")))
    entries = json.loads((folder / "found.json").read_text())

    def peer_in_memory() -> float:
        results = quiet(lambda: real.loadRes([dict(entry) for entry in entries]))
        return peer(real, results)

    def from_files(bootstrap: int) -> float:
        opened = open_test_set(folder / "truth.json", groups="none")
        results = opened.results(folder / "found.json")
        return score(opened.data, results, bootstrap=bootstrap)["mask/AP"].value

    ways: dict[str, Callable[[], float]] = {
        "in memory: faster-coco-eval": peer_in_memory,
        "in memory: dmaskrcnn": lambda: score(test.data, found, bootstrap=0)["mask/AP"].value,
        "in memory: dmaskrcnn with intervals": lambda: score(test.data, found)["mask/AP"].value,
        "from files: faster-coco-eval": lambda: peer_from_files(folder),
        "from files: dmaskrcnn": lambda: from_files(0),
        "from files: dmaskrcnn with intervals": lambda: from_files(1000),
    }
    times: Times = {name: [] for name in ways}
    for _ in range(rounds):
        values = [timed(way, times[name]) for name, way in ways.items()]
        assert max(values) - min(values) < 1e-6, values
    return times


def peer_from_files(folder: Path) -> float:
    """Mask AP, and box AP besides, by faster-coco-eval."""
    real = quiet(lambda: COCO(str(folder / "truth.json")))
    return peer(real, quiet(lambda: real.loadRes(str(folder / "found.json"))))


def peer(real: COCO, results: COCO) -> float:
    """Mask AP, and box AP besides, by faster-coco-eval."""
    value = 0.0
    for kind in ("bbox", "segm"):
        run = COCOeval_faster(real, results, kind, print_function=lambda *_: None)
        run.params.areaRng = [[0, 1e10]]  # as here: no AP by size
        run.params.areaRngLbl = ["all"]
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
        precision = run.eval["precision"]
        value = float(precision[precision > -1].mean())
    return value


# --- memory ---------------------------------------------------------------------------------------


def memory(folder: Path, images: int, tiny: bool) -> str:
    """The peak memory of scoring and of a prediction, each in a process of its own."""
    rows = {
        f"scoring {images:,} images, {DETECTIONS} masks each": "scoring",
        "the same, faster-coco-eval": "peer",
        "four 4K photographs at threshold 0": "four",
        "the same, batch_size=1": "alone",
        "one 4K photograph at threshold 0": "one",
    }
    lines = ["| | peak memory, MB |", "|---|---:|"]
    for name, what in rows.items():
        command = [sys.executable, __file__, "--alone", what, str(folder), *["--tiny"] * tiny]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        lines.append(f"| {name} | {float(ran.stdout.split()[-1]):.0f} |")
    return "\n".join([*lines, ""])


def score_alone(folder: Path, tiny: bool) -> None:
    """What the command `evaluate` does for a JSON."""
    from dmaskrcnn.arrays import arrays_alone
    from dmaskrcnn.evaluation.evaluate import evaluate

    with arrays_alone():
        evaluate(str(folder / "found.json"), str(folder / "truth.json"), groups="none")


def predict_alone(count: int, tiny: bool, batch_size: int = 8) -> None:
    """Detections of so many pictures, all kept."""
    detector = random_detector(tiny, 100)
    picture = photograph(tiny)
    found = detector.predict([picture] * count, threshold=0.0, batch_size=batch_size)
    assert all(len(one) > 50 or tiny for one in found)


ALONE: dict[str, Callable[[Path, bool], object]] = {
    "scoring": score_alone,
    "peer": lambda folder, _: peer_from_files(folder),
    "four": lambda _, tiny: predict_alone(4, tiny),
    "alone": lambda _, tiny: predict_alone(4, tiny, 1),
    "one": lambda _, tiny: predict_alone(1, tiny),
}


# --- prediction -----------------------------------------------------------------------------------


def prediction(rounds: int, tiny: bool) -> Times:
    """The seconds of a prediction and of its parts, round by round."""
    import torch

    from dmaskrcnn.detector.inference import detect
    from dmaskrcnn.detector.limits import USUAL

    torch.set_num_threads(1)
    detector, picture = random_detector(tiny, 10), photograph(tiny)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    found = detector.predict(picture, threshold=0.0)
    ways: dict[str, Callable[[], object]] = {
        "4K: the network": lambda: network(detector, tensor),
        "4K: predict": lambda: detect(detector, [tensor], 0.0, USUAL, False),
        "4K: to_json": found.to_json,
        "4K: draw": lambda: found.draw(picture),
        "4K: predict, to_json and draw": lambda: whole(detector, picture),
    }
    times: Times = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first one warms up
        for name, way in ways.items():
            timed(way, times[name])
    return {name: seconds[1:] for name, seconds in times.items()}


def network(detector, tensor) -> object:
    """All of the network, up to masks of 28 x 28 pixels."""
    import torch

    with torch.inference_mode():
        batch = detector.normalise([detector.resize(tensor)])
        features = detector.features(batch)
        proposals, _ = detector.rpn(batch, features)
        return detector.roi_heads.detect(features, proposals.per_image(), batch.image_sizes)


def whole(detector, picture: np.ndarray) -> object:
    """What `dmaskrcnn predict` does with a picture, files aside."""
    found = detector.predict(picture, threshold=0.0)
    return found.to_json(), found.draw()


def random_detector(tiny: bool, objects: int):
    """A detector that finds so many objects in anything: ResNet-50 at 800 px."""
    import torch

    from dmaskrcnn import Detector
    from dmaskrcnn.detector.config import DetectorConfig

    torch.manual_seed(0)
    small = {"backbone": "resnet18", "fpn_channels": 16, "box_head_width": 16, "image_size": 64}
    options = {"min_score": 0.0, "max_detections": objects, **(small if tiny else {})}
    config = DetectorConfig(**options)  # pyright: ignore[reportArgumentType]
    return Detector(["car", "person"], config).eval().set_precision()


def photograph(tiny: bool) -> np.ndarray:
    """Smooth noise at 3840 x 2160."""
    width, height = (300, 200) if tiny else (3840, 2160)
    noise = np.random.default_rng(0).integers(0, 256, (27, 48, 3), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


# --- tables ---------------------------------------------------------------------------------------


def timed(way: Callable, times: list[float]):
    """What it returns; its processor seconds are put down."""
    began = time.process_time()
    value = way()
    times.append(time.process_time() - began)
    return value


def quiet(way: Callable):
    """Without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return way()


def table(times: Times, base: str) -> str:
    """Medians and ranges, and the ratios to the last row before whose name ends with ``base``,
    round by round."""
    lines = ["| | processor seconds | ratio |", "|---|---:|---:|"]
    first: Sequence[float] = ()
    for name, seconds in times.items():
        first = seconds if name.endswith(base) else first
        ratios = [one / other for one, other in zip(seconds, first, strict=True)]
        lines.append(f"| {name} | {_spread(seconds, 3)} | {_spread(ratios, 2)} |")
    return "\n".join([*lines, ""])


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
