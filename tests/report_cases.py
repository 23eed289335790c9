"""Run folders and a comparison for the tests of the report, made without training."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from untrained import UNTRAINED

from dmaskrcnn import Detections, Detector
from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_dataset
from dmaskrcnn.evaluation.results_json import load_results, save_results
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.images.dehazed_set import dehazed_paths
from dmaskrcnn.run import open_run

SECTIONS = ["scores", "intervals", "curves", "training", "features", "pictures", "provenance"]
CLASSES = ("person", "car", "bus", "motorcycle")


class Page(HTMLParser):
    """The elements and the text of a page; void and stray tags are harmless here."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> list[str]:
        return [str(attributes["id"]) for attributes in self.all("section")]

    @property
    def data(self) -> dict:
        """What the script draws."""
        return json.loads(self.source.split('id="data">')[1].split("</script>")[0])


def write_run(
    folder: Path, source: Path, target: Path | None, seed: int = 0, **columns: float
) -> Path:
    """What a training leaves behind, with an untrained detector, which finds something
    everywhere."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    Detector(CLASSES, UNTRAINED).save(
        folder, weights="ema", method="grl", iteration=60, finished=True
    )
    method, targets = ("source", ()) if target is None else ("grl", (target,))
    config = TrainConfig.from_preset(
        method=method, preset="demo", source=(source,), target=targets, seed=seed, name=folder.name
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    values = {"detection/mask": 0.9, "lr": 0.001, **columns}
    with (folder / "metrics.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, ["iteration", "seconds", "phase", *values])
        rows.writeheader()
        for k in (20, 40, 60):
            rows.writerow(
                {
                    "iteration": k,
                    "seconds": k / 10,
                    "phase": "adapt",
                    **{n: v / k for n, v in values.items()},
                }
            )
    return folder


def write_predictions(path: Path, data: Path, seed: int, found: float) -> Path:
    """A share of the true objects, a little moved, with random scores, as COCO results JSON."""
    truth = open_dataset(data)
    generator = torch.Generator().manual_seed(seed)
    detections = []
    for index in range(len(truth)):
        objects = truth.annotations(index)
        objects = objects[torch.rand(len(objects), generator=generator) < found]
        scores = torch.rand(len(objects), generator=generator) * 0.8 + 0.2
        order = scores.argsort(descending=True)
        boxes = objects.boxes + torch.randn(objects.boxes.shape, generator=generator).sort(1)[0]
        detections.append(
            Detections(
                boxes[order],
                objects.labels[order],
                scores[order],
                objects.masks[order],
                truth.classes,
            )
        )
    save_results(
        path, truth.image_ids, detections, dict(zip(truth.classes, truth.category_ids, strict=True))
    )
    return path


def make_comparison(
    out: Path, data: Path, runs: list[tuple[str, tuple[Path, ...]]], published: bool = False
) -> Comparison:
    """Each of the runs on the images as they are, and on "dehazed" (here: inverted) ones."""
    truth = open_dataset(data)
    ids = dict(zip(truth.classes, truth.category_ids, strict=True))
    (out / "dehazed").mkdir(parents=True)
    for index, path in enumerate(dehazed_paths(truth, out / "dehazed")):
        Image.fromarray(255 - truth.load(index).image.permute(1, 2, 0).numpy()).save(path)
    rows = []
    groups = [RunGroup(name, tuple(map(open_run, paths))) for name, paths in runs]
    for dehaze in ("none", "mscnn"):
        for group in groups:
            number = len(rows)
            files = tuple(
                write_predictions(
                    out / f"{number}-{seed}.json", data, 10 * number + seed, 0.3 + 0.15 * number
                )
                for seed in range(len(group.runs))
            )
            scores = over_seeds(
                [
                    score(truth, load_results(file, truth.image_ids, ids), bootstrap=100)
                    for file in files
                ]
            )
            paper = 0.6101 + 0.01 * number if published else None
            rows.append(Row(group, dehaze, files, scores, 0.05 * (number + 1), paper))
    return Comparison(
        tuple(rows), (data,), {"mscnn": out / "dehazed"}, out, ("A note with < in it.",)
    )


def polygon_mask(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Which pixel centres lie inside, by the even-odd rule: bool ``(H, W)``."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), dtype=bool)
    for points in polygons:
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if y1 != y2:
                inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside
