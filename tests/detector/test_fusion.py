import torch

from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.fusion import fuse, look

WIDTH, HEIGHT = 40, 20


def seen(*objects: tuple[tuple[float, ...], int, float]) -> Detections:
    boxes = torch.tensor([box for box, _, _ in objects], dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(objects), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return Detections(
        boxes,
        torch.tensor([label for _, label, _ in objects], dtype=torch.int64),
        torch.tensor([score for _, _, score in objects]),
        masks,
        ("car", "bus"),
    )


def test_boxes_are_weighted_by_their_scores_and_scores_by_all_looks():
    found = fuse([seen(((0, 0, 10, 10), 0, 0.9)), seen(((2, 0, 12, 10), 0, 0.3)), seen()])
    torch.testing.assert_close(found.boxes, torch.tensor([[0.5, 0, 10.5, 10]]))
    torch.testing.assert_close(found.scores, torch.tensor([1.2 / 3]))
    assert found.masks[0].sum() == 100  # of the surer one: a quarter is no majority


def test_classes_and_places_stay_apart():
    looks = [
        seen(((0, 0, 10, 10), 0, 0.4), ((20, 0, 30, 10), 0, 0.8)),
        seen(((0, 0, 10, 10), 1, 0.6)),
    ]
    found = fuse(looks)
    assert found.labels.tolist() == [0, 1, 0]
    torch.testing.assert_close(found.scores, torch.tensor([0.4, 0.3, 0.2]))


def test_nothing_is_nothing():
    assert len(fuse([seen(), seen()])) == 0


class Left:
    """Finds a car at the left edge of whatever it is shown."""

    def predict(self, images, threshold=0.5, *, best=False):
        return [seen(((0, 0, 10, 10), 0, 0.8)) for _ in images]


def test_a_mirrored_look_is_mirrored_back():
    found = look([Left()], torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8), 0.3)
    assert sorted(found.boxes.tolist()) == [[0, 0, 10, 10], [30, 0, 40, 10]]
    assert found.masks[found.boxes[:, 0] == 30][0, :10, 30:].all()
    torch.testing.assert_close(found.scores, torch.tensor([0.4, 0.4]))


def test_masks_are_those_of_whole_frames():
    """The mean of frames, weighted by scores, whatever of them is empty."""
    generator = torch.Generator().manual_seed(0)
    looks, frames, scores = [], [], []
    for _ in range(4):
        mask = torch.rand(1, HEIGHT, WIDTH, generator=generator) > 0.5
        mask[:, :, : int(torch.randint(0, WIDTH + 1, (), generator=generator))] = False
        score = torch.rand(1, generator=generator)
        box = torch.tensor([[5.0, 5, 30, 15]])
        looks.append(Detections(box, torch.zeros(1, dtype=torch.int64), score, mask, ("car",)))
        frames.append(mask)
        scores.append(score)
    weights = torch.cat(scores) / torch.cat(scores).sum()
    mean = torch.tensordot(weights, torch.cat(frames).float(), dims=1)
    assert torch.equal(fuse(looks).masks[0], mean >= 0.5)
