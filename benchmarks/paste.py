"""Objects with masks, cut from the clear source, put behind the haze of the target's own pictures
at small sizes, so that the target's scenes carry true labels. Tried; see docs/results.md.

    D=../shared/data
    python benchmarks/paste.py --source $D/coco_mini/instances_train.json --target $D/dawn_fog/target \\
        --labels runs/second/adapt-self-seed0-1/labels.json --seed 0 --out pasted
    python benchmarks/adaptation.py train --source $S $W --target pasted/seed0/images --labels pasted/seed0/labels.json \\
        --out runs/second --seeds 0 --iterations 300 --methods adapt-pasted-labels

Each target picture is written `COPIES` times, with other objects each time. An object stands beside
one that is labelled already, its feet at the same height and itself as high, so that its size is
right without a depth; where nothing is labelled it stands somewhere below the middle. It is seen
through J t + A (1 − t) (Koschmieder 1924): A is the mean colour around it, and t what the contrast
there suggests, between 0.15 and 0.8. What was labelled and is covered by more than a half is
taken out of the labels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from faster_coco_eval.core import mask as mask_api
from PIL import Image, ImageFilter

from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.data.rle import encode

COPIES, OBJECTS = 3, 3
SHARES = {"car": 0.4, "person": 0.25, "truck": 0.2, "bus": 0.15}
SURE = 0.5
LEAST_CUT = 40  # px, the height of what is cut
HEIGHTS = (0.02, 0.12)  # of the picture's, where no neighbour tells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, help="COCO JSON with masks")
    parser.add_argument("--target", type=Path, required=True, help="unlabelled hazy images")
    parser.add_argument("--labels", type=Path, required=True, help="COCO results of the target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    out = args.out / f"seed{args.seed}"
    (out / "images").mkdir(parents=True, exist_ok=True)
    cuts = cut_out(args.source)
    print({name: len(found) for name, found in cuts.items()})
    source = open_dataset(args.source)
    ids = dict(zip(source.classes, source.category_ids, strict=True))
    labels: dict[str, list[dict]] = {}
    for entry in json.loads(args.labels.read_text()):
        labels.setdefault(str(entry["image_id"]), []).append(entry)
    target, results = open_images(args.target), []
    for path, name in zip(target.paths, target.image_ids, strict=True):
        for copy in range(COPIES):
            with Image.open(path) as file:
                picture = np.asarray(file.convert("RGB")).copy()
            known = labels.get(str(name), [])
            pasted = paste(picture, known, cuts, rng)
            image_id = f"{name}-{copy}"
            Image.fromarray(picture).save(out / "images" / f"{image_id}.jpg", quality=92)
            hidden = np.zeros(picture.shape[:2], dtype=bool)
            for _, mask in pasted:
                hidden |= mask
            for entry in known:
                if covered(entry["bbox"], hidden) <= 0.5:
                    results.append({**entry, "image_id": image_id})
            for kind, mask in pasted:
                results.append(as_result(image_id, ids[kind], kind, mask))
    (out / "labels.json").write_text(json.dumps(results))
    true = sum(entry["score"] == 1 for entry in results)
    print(f"{out}: {COPIES * len(target)} pictures, {true} pasted objects of {len(results)}")


def cut_out(source: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Objects per class: RGB uint8 ``(h, w, 3)`` and mask bool ``(h, w)``, off the borders."""
    coco = json.loads(source.read_text())
    names = {one["id"]: one["name"] for one in coco["categories"]}
    files = {one["id"]: one for one in coco["images"]}
    cuts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in SHARES}
    root = source.parent
    for entry in coco["annotations"]:
        name, shape = names[entry["category_id"]], entry.get("segmentation")
        image = files[entry["image_id"]]
        x, y, w, h = (round(value) for value in entry["bbox"])
        whole = x > 1 and y > 1 and x + w < image["width"] - 1 and y + h < image["height"] - 1
        if name not in cuts or entry.get("iscrowd") or not isinstance(shape, list):
            continue
        if not whole or h < LEAST_CUT or len(shape) > 1:  # one part: hardly occluded
            continue
        path = next(
            p
            for p in (root / image["file_name"], root / "images" / image["file_name"])
            if p.exists()
        )
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGB"))
        rle = mask_api.frPyObjects(shape, image["height"], image["width"])
        mask = mask_api.decode(rle)[..., 0].astype(bool)
        part = np.s_[y : y + h, x : x + w]
        if mask[part].mean() > 0.35:
            cuts[name].append((pixels[part].copy(), mask[part].copy()))
    return cuts


def paste(
    picture: np.ndarray,
    known: list[dict],
    cuts: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    rng: np.random.Generator,
) -> list[tuple[str, np.ndarray]]:
    """Put objects into a picture, RGB uint8 ``(h, w, 3)``, in place; class and visible mask bool
    ``(h, w)`` of each, the nearest last."""
    height, width = picture.shape[:2]
    neighbours = [entry for entry in known if entry["score"] >= SURE]
    places = []
    for _ in range(OBJECTS):
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        if not cuts[kind]:
            continue
        pixels, mask = cuts[kind][rng.integers(len(cuts[kind]))]
        if neighbours:
            x, y, w, h = neighbours[rng.integers(len(neighbours))]["bbox"]
            feet, tall = y + h, h * rng.uniform(0.7, 1.3)
            left = x + w * rng.uniform(-4, 4)
        else:
            tall = height * np.exp(rng.uniform(*np.log(HEIGHTS)))
            feet, left = height * rng.uniform(0.5, 0.75), width * rng.uniform(0, 0.9)
        tall = float(np.clip(tall, 12, 0.3 * height))
        wide = max(6, round(tall * mask.shape[1] / mask.shape[0]))
        places.append((feet, round(left), round(tall), wide, kind, pixels, mask))
    done: list[tuple[str, np.ndarray]] = []
    for feet, left, tall, wide, kind, pixels, mask in sorted(places, key=lambda one: one[0]):
        top = round(feet) - tall
        if top < 0 or left < 0 or left + wide > width or top + tall > height:
            continue
        hidden = np.zeros((height, width), dtype=bool)
        hidden[top : top + tall, left : left + wide] = True
        if any(covered(entry["bbox"], hidden) > 0.3 for entry in neighbours):
            continue
        small = Image.fromarray(pixels).resize((wide, tall), Image.Resampling.LANCZOS)
        shape = Image.fromarray((255 * mask).astype(np.uint8)).resize(
            (wide, tall), Image.Resampling.BOX
        )
        if rng.random() < 0.5:
            small, shape = (
                one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (small, shape)
            )
        part = np.s_[top : top + tall, left : left + wide]
        around = picture[max(0, top - tall) : top + tall, max(0, left - wide) : left + 2 * wide]
        airlight = around.reshape(-1, 3).mean(0)
        spread = float(around.mean(-1).std()) / 64  # 64: about that of a clear picture
        t = float(np.clip(spread * rng.uniform(0.7, 1.4), 0.15, 0.8))
        seen = np.asarray(small, dtype=np.float32) * t + airlight * (1 - t)
        alpha = (
            np.asarray(shape.filter(ImageFilter.GaussianBlur(0.5)), dtype=np.float32)[..., None]
            / 255
        )
        picture[part] = np.rint(alpha * seen + (1 - alpha) * picture[part]).clip(0, 255)
        whole = np.zeros((height, width), dtype=bool)
        whole[part] = np.asarray(shape) >= 128
        done = [(name, other & ~whole) for name, other in done]
        done.append((kind, whole))
    return [(name, mask) for name, mask in done if mask.sum() >= 40]


def covered(box: list[float], hidden: np.ndarray) -> float:
    """The share of a box that is hidden."""
    x, y, w, h = (max(0, round(value)) for value in box)
    part = hidden[y : y + max(1, h), x : x + max(1, w)]
    return float(part.mean()) if part.size else 0.0


def as_result(image_id: str, category: int, kind: str, mask: np.ndarray) -> dict:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)]
    rle = encode(mask)
    counts = rle["counts"].decode() if isinstance(rle["counts"], bytes) else rle["counts"]
    segmentation = {"size": list(rle["size"]), "counts": counts}
    return {
        "image_id": image_id,
        "category_id": category,
        "category_name": kind,
        "bbox": box,
        "score": 1.0,
        "segmentation": segmentation,
    }


if __name__ == "__main__":
    main()
