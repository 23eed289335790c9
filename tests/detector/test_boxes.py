import torch
from torchvision.ops import box_iou, clip_boxes_to_image

from dmaskrcnn.detector.boxes import clipped, intersections


def some_boxes(*shape: int) -> torch.Tensor:
    corner = torch.rand(*shape, 2, generator=torch.Generator().manual_seed(sum(shape))) * 80 - 10
    return torch.cat((corner, corner + 1 + corner.flip(-1).abs()), -1)


def test_intersections_make_torchvisions_overlaps():
    boxes, candidates = some_boxes(3, 4), some_boxes(3, 50)
    for others in (candidates, candidates[0]):
        shared, areas, covered = intersections(boxes, others)
        found = shared / (areas[:, :, None] + covered - shared)
        for image in range(3):
            own = others if others.dim() == 2 else others[image]
            assert torch.equal(found[image], box_iou(boxes[image], own))


def test_boxes_end_at_their_own_image():
    boxes, sizes = some_boxes(2, 30), [(40, 60), (70, 20)]
    for own, found, size in zip(boxes, clipped(boxes, sizes), sizes, strict=True):
        assert torch.equal(found, clip_boxes_to_image(own, size))
