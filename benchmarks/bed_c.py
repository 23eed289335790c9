"""Bed C: a target that differs from the source in scene *and* in haze, as real fog does. Hazed
copies of the source rank methods wrongly: there haze is all that an adaptation has to learn.

    D=../shared/data
    python benchmarks/bed_c.py $D/coco_mini/instances_*.json --out bedC
    python benchmarks/adaptation.py train --source $D/highway/instances_train.json $W \\
        --target bedC/target/*/visibility-*/images --oracle bedC/target/*/visibility-* --out runs/c
    python benchmarks/adaptation.py score --out runs/c --test bedC/test/*/visibility-* \\
        --clear bedC/clear-test

The source is `highway` alone, close-ups beside roads; target and test are everyday photographs
behind haze of three strengths, no photograph in both; ``bedC/clear-test`` is the test in clear air.
The source has no masks, so that none can be learnt: the tests have boxes alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from dmaskrcnn.data import Dataset, open_dataset
from dmaskrcnn.data.coco_writer import to_coco
from dmaskrcnn.images.haze import HazeConditions, haze_images

# metres; the seed tells the airlights and patches of one part from those of the other
VISIBILITIES = (60.0, 30.0, 15.0)
SEEDS = {"target": 11, "test": 12}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path, nargs="+", help="labelled clear photographs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10**6, help="photographs, to try it")
    args = parser.parse_args()
    data = open_dataset(*args.labels)
    jobs = []
    for part, images in zip(SEEDS, halves(data, args.most), strict=True):
        write(data, images, args.out / f"clear-{part}")
        for place, visibility in enumerate(VISIBILITIES):
            clear = args.out / f"clear-{part}-{visibility:g}"
            write(data, images[place :: len(VISIBILITIES)], clear)
            jobs.append((clear, args.out / part / f"{visibility:g}", visibility, SEEDS[part]))
        print(f"{part}: {len(images)} photographs, {objects(data, images)}", flush=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(haze, jobs))
    hazy = (args.out / "test").glob("*/visibility-*")
    for folder in (*hazy, args.out / "clear-test"):
        leave_boxes(folder / "annotations.json")


def halves(data: Dataset, most: int) -> tuple[list[int], list[int]]:
    """The photographs that show something, in turn to either half: first those with cars, which
    are few."""
    assert data.objects is not None
    car = data.classes.index("car")
    shown = [set(labels_of(data, i)) for i in range(len(data))]
    order = sorted((i for i, found in enumerate(shown) if found), key=lambda i: car not in shown[i])
    return order[:most:2], order[1:most:2]


def labels_of(data: Dataset, image: int) -> list[int]:
    assert data.objects is not None
    first, last = data.objects.first[image : image + 2]
    return data.objects.labels[int(first) : int(last)].tolist()


def objects(data: Dataset, images: list[int]) -> str:
    every = [label for i in images for label in labels_of(data, i)]
    return ", ".join(f"{every.count(k)} {name}" for k, name in enumerate(data.classes))


def write(data: Dataset, images: list[int], out: Path) -> None:
    """Copies of photographs as a data set."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    for i in images:
        shutil.copy(data.paths[i], out / "images" / data.paths[i].name)
    coco = to_coco(data, [(i, f"images/{data.paths[i].name}") for i in images])
    (out / "annotations.json").write_text(json.dumps(coco))


def leave_boxes(file: Path) -> None:
    """Take the masks out of a COCO JSON."""
    coco = json.loads(file.read_text())
    for entry in coco["annotations"]:
        entry.pop("segmentation", None)
    file.write_text(json.dumps(coco))


def haze(job: tuple[Path, Path, float, int]) -> None:
    clear, out, visibility, seed = job
    conditions = HazeConditions((visibility,), inhomogeneity=0.3, seed=seed)
    haze_images([clear / "annotations.json"], out, conditions, progress=False)


if __name__ == "__main__":
    main()
