"""Random and hand-made ground truth with detections, and detectors that find something everywhere,
for the tests of whatever scores."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from faster_coco_eval import COCO
from faster_coco_eval import COCOeval_faster as COCOeval
from faster_coco_eval.core import mask as rle
from untrained import UNTRAINED

from dmaskrcnn import Detector
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections

CLASSES = ("car", "person", "bus")


@dataclass
class Truth:
    objects: list[Annotations]
    image_ids: list[int | str]
    classes: tuple[str, ...] = CLASSES

    def annotations(self, index: int, /) -> Annotations:
        return self.objects[index]


def boxes_and_masks(boxes, size):
    """Ellipses that fill the boxes."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    dx = (x[None] + 0.5 - centre[:, 0, None, None]) / half[:, 0, None, None]
    dy = (y[None] + 0.5 - centre[:, 1, None, None]) / half[:, 1, None, None]
    return boxes.float(), dx**2 + dy**2 <= 1


def random_boxes(generator, n, size):
    low = torch.rand(n, 2, generator=generator) * size * 0.6
    return torch.cat([low, low + 6 + torch.rand(n, 2, generator=generator) * size * 0.35], 1).clamp(
        max=size
    )


def random_case(
    seed, images=12, *, crowd=0.0, difficult=0.0, boxes_only=0.0, size=64, classes=CLASSES
):
    """Objects, and detections that are jittered objects, duplicates, false alarms and wrong
    classes."""
    g = torch.Generator().manual_seed(seed)

    def chance(n, p):
        return torch.rand(n, generator=g) < p

    truth, found = [], []
    for image in range(images):
        n = int(torch.randint(0, 7, (1,), generator=g)) if image else 0
        boxes, masks = boxes_and_masks(random_boxes(g, n, size), size)
        labels = torch.randint(0, 2, (n,), generator=g)  # no bus
        has_mask = ~chance(n, boxes_only)
        truth.append(
            Annotations(
                boxes,
                labels,
                masks & has_mask[:, None, None],
                has_mask,
                chance(n, crowd),
                chance(n, difficult),
            )
        )
        source = torch.randint(0, max(n, 1), (2 * n,), generator=g)
        jitter = boxes[source] + torch.randn(2 * n, 4, generator=g) * 2
        jitter = torch.cat([torch.minimum(jitter[:, :2], jitter[:, 2:] - 3), jitter[:, 2:]], 1)
        noise = random_boxes(g, 3, size)
        boxes, masks = boxes_and_masks(torch.cat([jitter, noise]), size)
        labels = torch.cat([labels[source], torch.randint(0, 3, (3,), generator=g)])
        labels = torch.where(chance(len(labels), 0.1), 1 - labels.clamp(max=1), labels)
        scores, order = torch.rand(len(boxes), generator=g).sort(descending=True)
        found.append(Detections(boxes[order], labels[order], scores, masks[order], classes))
    return Truth(truth, list(range(images))), found


def make_objects(boxes, labels, size=40, **flags):
    boxes, masks = boxes_and_masks(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), size)
    false = torch.zeros(len(boxes), dtype=torch.bool)
    given = {"has_mask": ~false, "crowd": false, "difficult": false} | {
        k: torch.tensor(v) for k, v in flags.items()
    }
    return Annotations(boxes, torch.tensor(labels, dtype=torch.int64), masks, **given)


def make_found(boxes, labels, scores, classes=CLASSES, size=40):
    boxes, masks = boxes_and_masks(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), size)
    return Detections(
        boxes,
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
        masks,
        classes,
    )


def save_detector(folder: Path, *classes: str, seed: int = 0) -> Path:
    """An untrained detector, which finds something everywhere."""
    torch.manual_seed(seed)
    Detector(classes or ("person", "car"), UNTRAINED).save(folder)
    return folder


def coco_eval(truth, found, kind, area=None):
    """The twelve COCO numbers, and precision ``(T, R, K)``, from faster-coco-eval; of objects whose
    area is within ``area`` where that is given."""
    annotations, results = [], []
    for index, (objects, detections) in enumerate(zip(truth.objects, found, strict=True)):
        for sort, record in ((annotations, objects), (results, detections)):
            for i in range(len(record)):
                x1, y1, x2, y2 = record.boxes[i].double().tolist()
                code = rle.encode(np.asfortranarray(record.masks[i].numpy().astype(np.uint8)))
                entry = {
                    "image_id": truth.image_ids[index],
                    "category_id": int(record.labels[i]) + 1,
                    "segmentation": code,
                }
                entry |= {
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "id": len(sort) + 1,
                    "area": float(record.masks[i].sum()),
                }
                if sort is results and kind == "segm":
                    del entry["bbox"]  # the area is the mask's
                entry |= (
                    {"score": float(record.scores[i])}
                    if sort is results
                    else {"iscrowd": int(record.crowd[i])}
                )
                sort.append(entry)
    size = truth.objects[0].masks.shape[1:]
    images = [{"id": i, "height": size[0], "width": size[1]} for i in truth.image_ids]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(truth.classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        real = COCO(
            {"images": images, "annotations": annotations, "categories": categories, "info": {}}
        )
        run = COCOeval(real, real.loadRes(results), kind, print_function=lambda *_: None)
        if area:
            run.params.areaRng = [area] * 4
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats, run.eval["precision"][:, :, :, 0, -1]
