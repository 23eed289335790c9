"""How right the objects are that a student would be taught: a labeller's, its teacher's, and both
together, by the truth of pictures that neither was trained on.

    python benchmarks/consensus.py --labeller runs/large-1 --teacher runs/start-1 --data hazed

`hazed` is a labelled data set, for instance one that `dmaskrcnn haze` made. An object is right
where a true one of its class overlaps it by half; each true one counts once.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import torch
from torchvision.ops import box_iou

from dmaskrcnn.data import Annotations, open_dataset
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.fusion import look
from dmaskrcnn.evaluation.text import Table
from dmaskrcnn.methods.parts.consensus import SAME, agreed
from dmaskrcnn.methods.parts.distillation import CANDIDATE
from dmaskrcnn.training.target_labels import sizes_of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labeller", type=Path, required=True, help="a run")
    parser.add_argument("--labeller-size", type=int, default=0, help="px; default: its own")
    parser.add_argument("--teacher", type=Path, required=True, help="a run")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="labelled, in haze")
    parser.add_argument("--threshold", type=float, default=0.5, help="from which on one is sure")
    parser.add_argument("--most", type=int, default=10**6, help="pictures")
    args = parser.parse_args()
    labeller = Detector.load(args.labeller, image_size=args.labeller_size)
    sizes = sizes_of(labeller.config.image_size)
    looks = [labeller, Detector.load(args.labeller, image_size=sizes[1])]
    teacher = Detector.load(args.teacher)
    data = open_dataset(*args.data, classes=teacher.classes)
    found, right, true = Counter[str](), Counter[str](), 0
    for index in range(0, len(data), max(1, len(data) // args.most)):
        picture, truth = data.picture(index), data.annotations(index)
        brought = said(look(looks, picture, CANDIDATE), args.threshold)
        seen = said(teacher.predict(picture, threshold=CANDIDATE), args.threshold)
        true += int((~truth.crowd).sum())
        for name, taught in (
            ("the labeller's, where it is sure", brought),
            ("the teacher's, where it is sure", seen),
            ("both together, one of them sure", agreed(brought, seen, independent=False)),
            ("both together, however unsure", agreed(brought, seen)),
        ):
            count, matched = scored(taught, truth)
            found[name] += count
            right[name] += matched
    rows = [["objects", "number", "right, %", f"of {true} true ones, %"]]
    for name, count in found.items():
        shares = (right[name] / max(1, n) for n in (count, true))
        rows.append([name, str(count), *(f"{100 * share:.0f}" for share in shares)])
    print(Table(rows).markdown())


def said(found: Detections, threshold: float) -> Annotations:
    """Detections as a student is given them: crowd where they are unsure."""
    no = torch.zeros(len(found), dtype=torch.bool)
    masks = no_masks(len(found), found.height, found.width)
    return Annotations(found.boxes, found.labels, masks, no, found.scores < threshold, no)


def scored(taught: Annotations, truth: Annotations) -> tuple[int, int]:
    """How many objects are taught, and how many true ones are among them."""
    kept, true = ~taught.crowd, ~truth.crowd
    if not kept.any() or not true.any():
        return int(kept.sum()), 0
    overlap = box_iou(taught.boxes[kept], truth.boxes[true])
    right = overlap * (taught.labels[kept][:, None] == truth.labels[true]) >= SAME
    return int(kept.sum()), int(min(right.any(0).sum(), right.any(1).sum()))


if __name__ == "__main__":
    main()
