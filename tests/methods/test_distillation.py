import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.data import Annotations
from dmaskrcnn.detector.assignment import Truth
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.methods.parts.distillation import (
    CANDIDATE,
    View,
    distil,
    distil_masks,
    pseudo_labels,
)

SIZE = (64, 96)
LOSSES = {"objectness", "rpn_box_reg", "classifier", "box_reg", "mask"}


@pytest.fixture
def pair() -> tuple[Detector, Detector]:
    """A student in training and a teacher with other weights."""
    torch.manual_seed(0)
    config = PRESETS["demo"].detector
    student, teacher = Detector(("car", "person"), config), Detector(("car", "person"), config)
    return student.train(), teacher.eval()


def look(detector: Detector, count: int = 2, seed: int = 0) -> View:
    generator = torch.Generator().manual_seed(seed)
    images = detector.normalise(
        [
            torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator)
            for _ in range(count)
        ],
        SIZE,
    )
    features = detector.features(images)
    return View(images, features, detector.rpn.outputs(images, features))


def labels(
    boxes: list[list[float]], classes: list[int], crowd: list[bool] | None = None
) -> Annotations:
    count = len(boxes)
    no = torch.zeros(count, dtype=torch.bool)
    masks = torch.zeros(count, *SIZE, dtype=torch.bool)
    crowds = torch.tensor(crowd or [False] * count, dtype=torch.bool)
    return Annotations(
        torch.tensor(boxes).view(-1, 4),
        torch.tensor(classes, dtype=torch.int64),
        masks,
        no,
        crowds,
        no.clone(),
    )


SOME = [[8.0, 8, 40, 40], [50, 20, 90, 60]]


def test_gives_five_finite_losses_with_gradients_for_the_student_alone(pair):
    student, teacher = pair
    found = [labels(SOME, [0, 1]), labels(SOME[:1], [1])]
    losses = distil(student, teacher, look(student), look(teacher), found, [1, 2])
    assert set(losses) == LOSSES
    assert all(torch.isfinite(v) and v >= 0 for v in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_equal_to_its_teacher_stands_at_a_minimum(pair):
    """Regressions are 0, cross-entropies the teacher's entropies: no gradient pulls the student
    away."""
    student, _ = pair
    teacher = copy.deepcopy(student).eval()  # batch statistics in training mode would differ
    student.eval()
    own = look(student)
    losses = distil(student, teacher, own, look(teacher), [labels(SOME, [0, 1])] * 2, [1, 2])
    assert losses["rpn_box_reg"].item() == pytest.approx(0, abs=1e-6)
    assert losses["box_reg"].item() == pytest.approx(0, abs=1e-6)
    for name in ("objectness", "classifier", "mask"):
        gradients = torch.autograd.grad(
            losses[name],
            list(student.roi_heads.parameters()) + list(student.rpn.parameters()),
            retain_graph=True,
            allow_unused=True,
        )
        largest = max((float(g.abs().max()) for g in gradients if g is not None), default=0.0)
        assert largest < 1e-5, name


def test_one_step_brings_the_student_nearer_to_its_teacher(pair):
    student, teacher = pair
    student.eval()  # no batch statistics: the same function before and after
    found, view = [labels(SOME, [0, 1])] * 2, look(teacher)
    before = distil(student, teacher, look(student), view, found, [1, 2])
    torch.stack(list(before.values())).sum().backward()
    with torch.no_grad():
        for p in student.parameters():
            if p.grad is not None:
                p -= 1e-3 * p.grad
    after = distil(student, teacher, look(student), view, found, [1, 2])
    assert sum(after.values()) < sum(before.values())


def test_class_and_objectness_terms_against_an_independent_computation(pair):
    student, teacher = pair
    student.eval()
    found, own, view = labels(SOME, [0, 1]), look(student, 1), look(teacher, 1)
    losses = distil(student, teacher, own, view, [found], [5])

    truth = Truth.of([found])
    sampled, _ = student.rpn.select(own.anchors.anchors, truth, [5])
    index = sampled.index[0][sampled.valid[0]]
    p, q = (torch.sigmoid(v.anchors.objectness[0][index]).double() for v in (own, view))
    expected = -(q * p.log() + (1 - q) * (1 - p).log()).mean()
    torch.testing.assert_close(losses["objectness"].double(), expected, rtol=1e-4, atol=1e-6)

    proposals = student.rpn.propose(own.anchors, own.images.image_sizes)
    chosen = student.roi_heads.select(proposals, truth, [5])
    rois = chosen.boxes[0][chosen.labels[0] >= 0]
    p, q = (
        d.roi_heads.box_outputs(v.features, [rois], [SIZE])[0].double().softmax(1)
        for d, v in ((student, own), (teacher, view))
    )
    torch.testing.assert_close(
        losses["classifier"].double(), -(q * p.log()).sum(1).mean(), rtol=1e-4, atol=1e-6
    )


def test_masks_learn_the_teachers_probability_of_the_right_class(pair):
    student, teacher = pair
    own, view = look(student, 1), look(teacher, 1)
    rois, classes = [torch.tensor(SOME)], torch.tensor([1, 2])
    loss = distil_masks(student, teacher, own, view, rois, classes)
    logits = student.roi_heads.mask_outputs(own.features, rois, [SIZE])
    target = teacher.roi_heads.mask_outputs(view.features, rois, [SIZE]).sigmoid()
    expected = torch.stack(
        [
            F.binary_cross_entropy_with_logits(logits[i, c], target[i, c])
            for i, c in enumerate(classes)
        ]
    ).mean()
    torch.testing.assert_close(loss, expected)


def test_without_pseudo_labels_every_parameter_still_takes_part(pair):
    student, teacher = pair
    losses = distil(student, teacher, look(student), look(teacher), [labels([], [])] * 2, [1, 2])
    assert losses["box_reg"] == losses["mask"] == losses["rpn_box_reg"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)


def fixed_scores(teacher: Detector, scores: Tensor) -> None:
    """Let the box head give these class probabilities (background first) to every RoI."""
    with torch.no_grad():
        teacher.roi_heads.box_predictor.cls_score.weight.zero_()
        teacher.roi_heads.box_predictor.cls_score.bias.copy_(scores.log())


@pytest.mark.parametrize(("score", "sure"), [(0.9, True), (0.4, False), (CANDIDATE - 0.05, None)])
def test_thresholds_part_objects_from_the_undecided(pair, score, sure):
    _, teacher = pair
    rest = (1 - score) / 2
    fixed_scores(teacher, torch.tensor([rest, score, rest]))
    view = look(teacher, 1)
    found, scores = pseudo_labels(teacher, view, torch.tensor([0.6, 0.99]))
    cars = found[0].labels == 0
    if sure is None:
        assert not cars.any()
        return
    assert cars.any()
    assert (found[0].crowd[cars] == (not sure)).all()
    torch.testing.assert_close(scores[0][cars], torch.full_like(scores[0][cars], score))
    assert not found[0].has_mask.any()
