"""Time the prediction of one picture: stock torchvision, this project, and what it exports; with AP
beside speed where there is something to score.

    uv run python benchmarks/inference.py  # ResNet-18 at 320 px and ResNet-50 at 800 px: minutes
    uv run python benchmarks/inference.py --models r18 --rounds 1 --pictures 1  # a short run
    uv run python benchmarks/inference.py --models r18 mobile r50 v2 --processor
    uv run python benchmarks/inference.py --run runs/adapt-1 --test hazy/instances.json \\
        --calibrate hazy/images  # a trained detector, with its AP

Every variant predicts the same pictures, one after the other, from decoded picture to pasted masks;
the variants take turns, picture by picture, so that whatever else the machine does hits all alike.
One thread (``--threads``). What counts are the ratios of medians. Variants:

- ``torchvision``: ``torchvision.models.detection.MaskRCNN`` in float32, of the same architecture,
  limits and weights
- ``float32``, ``bf16``: this project's detector; ``bf16`` is what it takes by itself where the
  processor multiplies bfloat16
- ``onnx``: ONNX Runtime, float32
- ``openvino``, ``openvino-bf16``, ``openvino-int8``: OpenVINO

Exports compute the masks of what is returned alone, the others those of all above the detector's
lowest score. Without ``--run`` the weights are random, and there is no AP. int8 is calibrated on
``--calibrate``, or else on the pictures themselves.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmaskrcnn.evaluation.text import Table

EAGER = ("torchvision", "float32", "bf16")
OPENVINO = ("openvino", "openvino-bf16", "openvino-int8")
VARIANTS = (*EAGER, "onnx", *OPENVINO)
MODELS = {"r18": "cpu", "r50": "default", "mobile": "mobile", "v2": "v2"}  # the preset
CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
THRESHOLD = 0.5
Predict = Callable[[Any], Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["r18", "r50"])
    parser.add_argument("--run", type=Path, help="a run folder, instead of --models")
    parser.add_argument("--test", type=Path, nargs="+", help="a labelled test set, for AP")
    parser.add_argument("--calibrate", type=Path, nargs="+", help="pictures, for int8")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--pictures", type=int, default=4, help="in a round")
    parser.add_argument("--size", type=int, nargs=2, help="of the pictures, height and width")
    parser.add_argument("--rounds", type=int, default=3, help="after one to warm up")
    parser.add_argument("--threads", type=int, default=1)
    others = "count the processor's time: where others use the machine, too"
    parser.add_argument("--processor", action="store_true", help=others)
    parser.add_argument("--tiny", action="store_true", help="a detector of nothing, for tests")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    args = parser.parse_args()
    results = [measure(args, name) for name in (["run"] if args.run else args.models)]
    for result in results:
        print(table(result) + "\n")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Seconds of every prediction by variant, AP where there is a test set, and what it ran on."""
    import torch

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.run or save_random(name, Path(scratch) / "run", args.tiny)
        pictures = load_pictures(args)
        variants = build(folder, Path(scratch), pictures, args)
        seconds: dict[str, list[float]] = {variant: [] for variant in variants}
        clock = time.process_time if args.processor else time.perf_counter
        for turn in range(-1, args.rounds):
            for picture in pictures:
                for variant, predict in variants.items():
                    start = clock()
                    predict(picture)
                    if turn >= 0:
                        seconds[variant].append(clock() - start)
        scores = score_all(folder, Path(scratch), args) if args.test else {}
    shape = "×".join(map(str, pictures[0].shape[:2]))
    return {"model": str(args.run or name), "picture": shape, "seconds": seconds, "AP50": scores}


def save_random(name: str, folder: Path, tiny: bool) -> Path:
    """A run folder with random weights that keep the activations in a sane range."""
    import torch

    from dmaskrcnn.config.presets import PRESETS
    from dmaskrcnn.detector.config import DetectorConfig
    from dmaskrcnn.detector.detector import Detector

    torch.manual_seed(0)
    config = PRESETS[MODELS[name]].detector
    if tiny:
        sizes: Any = {"image_size": 64, "max_size": 96, "fpn_channels": 16, "box_head_width": 16}
        config = DetectorConfig(backbone="resnet18", mask_head_layers=1, **sizes)
    detector = Detector(CLASSES, config)
    calm(detector)
    folder.mkdir()
    detector.save(folder)
    return folder


def calm(detector: Any) -> None:
    """As small as in a trained network: at 1 the residual blocks double the variance each."""
    for name, scale in detector.named_buffers():
        if name.endswith(("bn2.weight", "bn3.weight")):
            scale.fill_(0.2)


def load_pictures(args: argparse.Namespace) -> list[Any]:
    """uint8 ``(H, W, 3)`` each: of --calibrate, or rendered scenes, at the size of a camera's."""
    from dmaskrcnn.cli.exporting import listed
    from dmaskrcnn.data.image import decode_pixels
    from dmaskrcnn.demo import render_scene
    from dmaskrcnn.runtime.exported import resized

    if args.calibrate:
        found = [decode_pixels(path) for path in listed(args.calibrate, args.pictures)]
        return [resized(p, args.size) for p in found] if args.size else found
    size = args.size or (480, 640)
    scenes = [render_scene(seed, 240, 320).image for seed in range(args.pictures)]
    return [resized(scene, size) for scene in scenes]


def build(
    folder: Path, scratch: Path, pictures: list[Any], args: argparse.Namespace
) -> dict[str, Predict]:
    """Each variant as a function of a picture."""
    import torch

    variants: dict[str, Predict] = {}
    for variant in args.variants:
        if variant in EAGER:
            detector = eager(variant, folder)
            variants[variant] = lambda picture, detector=detector: detector.predict(
                [torch.from_numpy(picture).permute(2, 0, 1)], THRESHOLD
            )
        else:
            ours = open_export(variant, folder, scratch, pictures, args)
            variants[variant] = lambda picture, ours=ours: ours.predict(picture, THRESHOLD)
    return variants


def eager(variant: str, folder: Path) -> Any:
    """One of those that run in torch."""
    from dmaskrcnn.detector.detector import Detector

    detector = Detector.load(folder, "cpu", "bf16" if variant == "bf16" else "float32")
    return stock(detector) if variant == "torchvision" else detector


def open_export(
    variant: str, folder: Path, scratch: Path, pictures: list[Any], args: argparse.Namespace
) -> Any:
    """The run exported, once for each kind, and opened."""
    from PIL import Image

    from dmaskrcnn.cli.exporting import CALIBRATED, listed
    from dmaskrcnn.export import load
    from dmaskrcnn.export.write import Quantisation, export_detector
    from dmaskrcnn.run import Run

    precision = "bf16" if variant.endswith("bf16") else None
    out = scratch / variant.removesuffix("-bf16")
    if not out.exists():
        int8 = None
        if variant.endswith("int8"):
            chosen = listed(args.calibrate, CALIBRATED) if args.calibrate else []
            for index, picture in enumerate([] if chosen else pictures):
                chosen.append(scratch / f"{index}.png")
                Image.fromarray(picture).save(chosen[-1])
            int8 = Quantisation(chosen, allow_loss=1.0)
        runtime = "onnx" if variant == "onnx" else "openvino"
        options: dict[str, Any] = {"runtime": runtime, "int8": int8, "say": lambda line: None}
        export_detector(Run(folder), out, pictures[:1], **options)
    return load(out, precision, args.threads)


def stock(detector: Any) -> Any:
    """torchvision's Mask R-CNN of the same architecture, limits and weights."""
    from torchvision.models import get_model
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.models.detection.rpn import RPNHead
    from torchvision.ops import FrozenBatchNorm2d

    config, classes = detector.config, len(detector.classes) + 1
    width, box_width = config.fpn_channels, config.box_head_width
    if not config.backbone.startswith("resnet") or config.heads == "deep":
        raise SystemExit("torchvision: twins are built of r18 and r50 alone; name other variants")
    network: Any = get_model(config.backbone, weights=None, norm_layer=FrozenBatchNorm2d)
    channels = [network.fc.in_features // part for part in (8, 4, 2, 1)]
    levels = {f"layer{i + 1}": str(i) for i in range(4)}
    model = MaskRCNN(
        BackboneWithFPN(network, levels, channels, width),
        min_size=config.image_size,
        max_size=config.max_size,
        rpn_anchor_generator=AnchorGenerator(
            tuple((size,) for size in config.anchor_sizes), ((0.5, 1.0, 2.0),) * 5
        ),
        rpn_head=RPNHead(width, 3),
        rpn_pre_nms_top_n_test=config.pre_nms[1],
        rpn_post_nms_top_n_test=config.post_nms[1],
        box_head=TwoMLPHead(width * 49, box_width),
        box_predictor=FastRCNNPredictor(box_width, classes),
        box_score_thresh=config.min_score,
        box_nms_thresh=config.box_nms,
        box_detections_per_img=config.max_detections,
        mask_head=MaskRCNNHeads(width, (width,) * config.mask_head_layers, 1),
        mask_predictor=MaskRCNNPredictor(width, width, classes),
    )
    model.load_state_dict(detector.state_dict())
    return Stock(model.eval(), detector)


class Stock:
    """torchvision's detector with this project's `predict`."""

    def __init__(self, model: Any, detector: Any) -> None:
        self.model, self.config, self.classes = model, detector.config, detector.classes

    def predict(
        self, images: Any, threshold: float, limits: Any = None, best: bool = False
    ) -> list[Any]:
        """As of `Detector`, with a loop over the images."""
        import torch

        from dmaskrcnn.detections import Detections

        if limits is not None and limits.box is not None:
            self.model.roi_heads.score_thresh = limits.box
        results = []
        for image in images:
            with torch.inference_mode():
                (found,) = self.model([image.float() / 255])
            keep = found["scores"] >= threshold
            boxes, labels, scores = (found[key][keep] for key in ("boxes", "labels", "scores"))
            masks = found["masks"][keep][:, 0] >= 0.5
            results.append(Detections(boxes, labels - 1, scores, masks, self.classes))
        return results


def score_all(folder: Path, scratch: Path, args: argparse.Namespace) -> dict[str, float]:
    """VOC AP50 of every variant."""
    from dmaskrcnn.evaluation.evaluate import evaluate
    from dmaskrcnn.evaluation.labelled import open_test_set
    from dmaskrcnn.run import Run

    test = open_test_set(args.test, known=Run(folder).classes)
    found = {}
    for variant in args.variants:
        detector: Any = (
            eager(variant, folder)
            if variant in EAGER
            else open_export(variant, folder, scratch, [], args)
        )
        found[variant] = 100 * evaluate(detector, test, bootstrap=0)["voc/AP50"].value
    return found


def table(result: dict[str, Any]) -> str:
    """The result as Markdown: medians, and how many times as fast as the first variant."""
    rows = [["variant", "ms (median)", "min to max", "times the first's speed", "AP50"]]
    seconds = result["seconds"]
    first = statistics.median(next(iter(seconds.values())))
    for variant, times in seconds.items():
        median = statistics.median(times)
        spread = f"{1000 * min(times):.0f} to {1000 * max(times):.0f}"
        score = result["AP50"].get(variant)
        said = "" if score is None else f"{score:.1f}"
        rows.append([variant, f"{1000 * median:.0f}", spread, f"{first / median:.2f}", said])
    return f"{result['model']}, pictures of {result['picture']}\n\n{Table(rows).markdown()}"


if __name__ == "__main__":
    main()
