import torch
from detector_cases import TINY

from dmaskrcnn.data import Annotations
from dmaskrcnn.detector.assignment import Truth
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.rpn import Proposals


def one(crowd: tuple[bool, bool]) -> Annotations:
    no = torch.zeros(2, dtype=torch.bool)
    boxes = torch.tensor([[8.0, 8, 40, 40], [50, 20, 90, 60]])
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    return Annotations(boxes, torch.tensor([0, 1]), masks, ~no, torch.tensor(crowd), no)


def truth(crowd: bool = False) -> Truth:
    return Truth.of([one((crowd, False))])


def proposals(*boxes: list[float]) -> Proposals:
    found = torch.tensor([list(boxes)])
    return Proposals(found, found[..., 2] > found[..., 0])


def test_crowds_are_neither_positive_nor_negative():
    heads = Detector(("car", "person"), TINY).roi_heads
    chosen = heads.select(proposals([9.0, 9, 39, 39], [0, 0, 5, 5]), truth(crowd=True), [0])
    there = chosen.labels >= 0
    assert (chosen.index[chosen.labels > 0] == 1).all()
    assert [9.0, 9, 39, 39] not in chosen.boxes[there].tolist()
    assert [8.0, 8, 40, 40] not in chosen.boxes[there].tolist()
    assert sorted(chosen.labels[there].tolist()) == [0, 2]


def test_padding_is_never_chosen():
    heads = Detector(("car", "person"), TINY).roi_heads
    chosen = heads.select(proposals([9.0, 9, 39, 39], [0, 0, 0, 0]), truth(), [0])
    assert sorted(chosen.labels[0].tolist()) == [-1, 1, 1, 2]
    assert (chosen.labels[0, :3] > 0).all()  # positives first


def test_a_picture_of_crowds_alone_beside_one_of_many_proposals():
    """Of whose columns nearly all are empty: padding, of no width."""
    detector = Detector(("car", "person"), TINY)
    images = detector.normalise([torch.zeros(3, 64, 96, dtype=torch.uint8)] * 2)
    corners = torch.rand(2, 12, 2) * 40
    boxes = torch.cat((corners, corners + 8), 2)
    boxes[0, 0], boxes[0, 1:] = torch.tensor([9.0, 9, 39, 39]), 0
    both = Proposals(boxes, boxes[..., 2] > boxes[..., 0])
    objects = Truth.of([one(crowd=(True, True)), one(crowd=(False, False))])
    features = detector.features(images)
    losses = detector.roi_heads.losses(features, both, images.image_sizes, objects, [0, 1])
    assert all(loss.isfinite() for loss in losses.values()), losses


def test_confident_is_what_detect_finds_from_a_score_on():
    torch.manual_seed(3)
    detector = Detector(("car", "person"), TINY).eval()
    with torch.no_grad():
        detector.roi_heads.box_predictor.cls_score.weight.normal_(std=40)
        images = detector.normalise(
            [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in ((64, 96), (90, 64))]
        )
        features = detector.features(images)
        found, _ = detector.rpn(images, features)
        sizes = images.image_sizes
        expected = detector.roi_heads.detect(features, found.per_image(), sizes, threshold=0.4)
        confident = detector.roi_heads.confident(features, found, sizes, 0.4)
    assert sum(len(e["boxes"]) for e in expected) > 4
    for (boxes, labels, scores), one in zip(confident, expected, strict=True):
        torch.testing.assert_close(boxes, one["boxes"], rtol=1e-4, atol=1e-3)
        assert torch.equal(labels, one["labels"])
        torch.testing.assert_close(scores, one["scores"])
