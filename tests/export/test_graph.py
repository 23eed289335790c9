"""The traced graph against `Detector.predict`, and its parts against torchvision."""

from __future__ import annotations

import torch
from detector_cases import TINY
from export_cases import CLASSES, picture
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import batched_nms

from dmaskrcnn import Detector
from dmaskrcnn.export.graph import BOX_WEIGHTS, LARGEST, DetectorGraph, decode, separate_nms


def random_boxes(count: int, generator: torch.Generator) -> torch.Tensor:
    corner = torch.rand(count, 2, generator=generator) * 80
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 40], 1)


def test_nms_of_groups_is_torchvisions():
    generator = torch.Generator().manual_seed(0)
    for count in (0, 1, 300):
        boxes = random_boxes(count, generator)
        scores = torch.rand(count, generator=generator)
        groups = torch.randint(5, (count,), generator=generator)
        wanted = batched_nms(boxes, scores, groups, 0.5)
        assert torch.equal(separate_nms(boxes, scores, groups, 0.5), wanted)


def test_decoding_is_torchvisions():
    generator = torch.Generator().manual_seed(1)
    boxes, deltas = random_boxes(50, generator), torch.randn(50, 4, generator=generator) * 9
    coder = BoxCoder(BOX_WEIGHTS)
    assert coder.bbox_xform_clip == LARGEST
    torch.testing.assert_close(
        decode(deltas, boxes, BOX_WEIGHTS), coder.decode_single(deltas, boxes)
    )


def test_graph_finds_what_the_detector_finds():
    torch.manual_seed(2)
    detector = Detector(CLASSES, TINY).eval().set_precision("float32")
    graph = DetectorGraph(detector).eval()
    for size in ((64, 96), (64, 64), (40, 96)):
        image = picture(*size)
        wanted = detector.predict(image, 0.05)
        with torch.inference_mode():
            boxes, labels, scores, masks = graph(
                detector.resize(image).permute(1, 2, 0), torch.tensor(0.05), torch.tensor(0.0)
            )
        assert len(boxes) == len(wanted) > 0
        assert torch.equal(labels, wanted.labels)
        torch.testing.assert_close(scores, wanted.scores)
        assert masks.shape == (len(wanted), 28, 28)
