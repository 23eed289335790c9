import math

import pytest
import torch
from test_methods import sample

from dmaskrcnn.data import Batch
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.pyramid import Features, Level
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.alignment import PATIENCE, Alignment
from dmaskrcnn.methods.parts.classifiers import consistency
from dmaskrcnn.methods.parts.detection import features_of_both
from dmaskrcnn.training.learner import Learner


def aligned(tiny, **overrides):
    torch.manual_seed(0)
    config = tiny(preset="cpu", weights="imagenet", fpn_channels=16, **overrides)
    method = config.settings.build(Detector(("car", "person"), config.detector))
    Learner(method).train()
    return method


@pytest.fixture
def batch() -> Batch:
    return Batch([sample(1, True)], [sample(3, False)])


@pytest.mark.parametrize(
    ("on", "losses"),
    [
        ("image", {"domain"}),
        ("instance", {"instance"}),
        ("both", {"domain", "instance", "consistency"}),
    ],
)
def test_losses_of_each_kind(tiny, batch, on, losses):
    found = aligned(tiny, grl_on=on).losses(batch, 0.0)
    assert set(found.alignment) == losses
    assert all(torch.isfinite(v) for v in found.columns().values())
    assert ("instance_accuracy" in found.logs) == (on != "image")


def test_instances_push_the_features_against_the_classifier(tiny, batch):
    """A step along the features' gradient makes the instance classifier worse; along the
    classifier's own, better."""
    method = aligned(tiny, grl_on="instance", grl_reverse="always", grl_lambda=1.0)
    Learner(method).eval()  # the same proposals before and after

    def loss() -> torch.Tensor:
        return method.losses(batch, 0.0).alignment["instance"]

    before = loss()
    before.backward()
    head, classifier = method.detector.roi_heads.box_head.fc7, method.alignment.instance
    for module, worse in ((head, True), (classifier, False)):
        parameters = list(module.parameters())
        saved = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p in parameters:
                p -= 0.02 * p.grad / p.grad.norm()
        after = loss()
        assert (after > before) == worse
        with torch.no_grad():
            for p, old in zip(parameters, saved, strict=True):
                p.copy_(old)


def test_every_level_of_the_image_classifier_learns(tiny, batch):
    method = aligned(tiny, grl_on="both")
    losses = method.losses(batch, 0.0).alignment
    (losses["domain"] + losses["instance"]).backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in method.alignment.image.parameters()
    )


def test_consistency_is_the_distance_to_the_images_mean_verdict():
    dense = torch.zeros(2, 2, 2, 3)
    dense[0, 1] = math.log(3)  # the first image: "target" with 0.75 where the picture is ...
    dense[0, 1, :, 1:] = 50  # ... and a padding that must not count
    proposals = torch.tensor([[0.0, 0.0], [0.0, math.log(3)], [0.0, math.log(9)]])  # 0.5, 0.75, 0.9
    levels = [Level("0", 4, 8)]
    distance = consistency([dense], [(8, 4), (8, 12)], proposals, [2, 1], levels)
    torch.testing.assert_close(distance, torch.tensor([0.25, 0.0, 0.4]))
    # a classifier that decides once per image
    joint = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    torch.testing.assert_close(
        consistency([joint], [(8, 4), (8, 12)], proposals, [2, 1], levels),
        torch.tensor([0.25, 0.0, 0.4]),
    )


def watch(tiny, *series: dict[str, float]) -> list[str | None]:
    config = tiny()
    alignment = Alignment(config.settings, Detector(("car",), config.detector))
    return [alignment.watch({"detection/objectness": 0.1, **values}) for values in series]


def test_warns_once_when_the_classifier_has_won(tiny):
    said = watch(tiny, *[{"alignment/domain": 1e-4}] * (3 * PATIENCE))
    assert [line for line in said if line] == [said[PATIENCE - 1]]
    assert "--grl-lambda" in str(said[PATIENCE - 1])
    assert not any(watch(tiny, *[{"alignment/domain": 0.69}] * (3 * PATIENCE)))


def test_divergence_of_the_instances_stops_the_run(tiny):
    with pytest.raises(UserError, match="diverges"):
        watch(tiny, *[{"alignment/domain": 0.7, "alignment/instance": 400.0}] * 100)


def test_features_follow_the_consistency(tiny, batch):
    """A step of descent brings the verdicts on proposals and images together, though it goes
    against the verdicts themselves."""
    method = aligned(tiny, grl_on="both", grl_lambda=1.0)
    detector = method.detector.eval()
    _, _, halves = features_of_both(detector, batch, padded_alike=True)
    leaves = [{k: v.detach().requires_grad_() for k, v in half.items()} for half in halves]

    def distance(maps: list[Features]) -> torch.Tensor:
        found = method.alignment(detector, maps, [[(64, 96)]] * 2, 0.0)
        return found.alignment["consistency"]

    before = distance(leaves)
    before.backward()
    with torch.no_grad():
        moved = [{k: v if v.grad is None else v - v.grad for k, v in m.items()} for m in leaves]
    assert distance(moved) < before


@pytest.mark.parametrize("on", ["image", "instance"])
def test_domains_count_alike_whatever_their_images(tiny, batch, on):
    """One image of the source and three times the same of the target, and a classifier that takes
    every image for one of the source."""
    method = aligned(tiny, grl_on=on)
    classifier = method.alignment.image or method.alignment.instance
    for name, parameter in classifier.named_parameters():
        torch.nn.init.zeros_(parameter)
        if parameter.shape == (2,) and name.endswith("bias"):
            parameter.data[:] = torch.tensor([2.0, 0.0])
    found = method.losses(Batch(batch.source, batch.target * 3), 0.0)
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    name = {"image": "domain", "instance": "instance"}[on]
    assert found.alignment[name].item() == pytest.approx(expected, rel=1e-4)
    assert found.logs[f"{name}_accuracy"] == 0.5
