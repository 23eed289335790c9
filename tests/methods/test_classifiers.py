import math

import pytest
import torch
import torch.nn.functional as F

from dmaskrcnn.detector.pyramid import Level
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.classifiers import FCNClassifier, PaperClassifier, domain_loss
from dmaskrcnn.methods.parts.guard import LN2, DivergenceGuard
from dmaskrcnn.methods.parts.reversal import Reversal, ramp


def levels(channels: int) -> list[Level]:
    """P2-P5."""
    return [Level(str(i), 4 * 2**i, channels) for i in range(4)]


def pyramid(
    images: int, channels: int, height: int, width: int, seed: int = 0
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, channels, -(-height // s), -(-width // s), generator=generator)
        for s in (4, 8, 16, 32)
    ]


def test_reversal_is_the_identity_forward_and_flips_the_gradient():
    x = torch.randn(2, 3, requires_grad=True)
    y = Reversal(0.1)(x)
    assert torch.equal(y, x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.full((2, 3), -0.1))


def test_reversal_takes_a_factor_per_image_even_after_the_forward_pass():
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    reversal = Reversal(1.0)
    y = reversal(x)
    reversal.factor = torch.tensor([0.0, 0.5])
    y.sum().backward()
    assert x.grad is not None
    assert (x.grad[0] == 0).all()
    assert (x.grad[1] == -0.5).all()


def test_adversarial_signs():
    """A step of gradient descent makes the classifier better, and the features harder to tell
    apart."""
    torch.manual_seed(0)
    features = [f.requires_grad_() for f in pyramid(4, 8, 64, 64)]
    for f in features:
        f.data[2:] += 1.0  # the domains differ
    classifier, domains, sizes = (
        FCNClassifier(levels(8)),
        torch.tensor([0, 0, 1, 1]),
        [(64, 64)] * 4,
    )

    def loss(maps: list[torch.Tensor]) -> torch.Tensor:
        return domain_loss(classifier(maps, sizes), domains, sizes, levels(8))[0].mean()

    reversal = Reversal(1.0)
    before = loss([reversal(f) for f in features])
    before.backward()
    with torch.no_grad():
        moved = [f - 5 * f.grad for f in features if f.grad is not None]
        assert loss(moved) > before
        for parameter in classifier.parameters():
            parameter -= 0.05 * parameter.grad  # type: ignore[operator]
        assert loss(features) < before


@pytest.mark.parametrize(("progress", "value"), [(0.0, 0.0), (1.0, 0.99990920426)])
def test_ramp_ends(progress, value):
    assert ramp(progress) == pytest.approx(value)


def test_paper_classifier_has_the_papers_parameters():
    # 2x2 convolutions where pooled, 1x1 elsewhere, one more 1x1; weights and biases
    def branch(pooled):
        kernels = [1] * (4 - pooled) + [4] * pooled + [1]
        inputs = [256, 128, 128, 128, 128]
        return sum(k * i * 128 + 128 for k, i in zip(kernels, inputs, strict=True))

    expected = sum(branch(p) + 16 * 16 * 128 * 128 + 128 for p in (4, 3, 2, 1))
    expected += 512 * 512 + 512 + 512 * 128 + 128 + 128 * 2 + 2
    classifier = PaperClassifier(levels(256))
    assert sum(p.numel() for p in classifier.parameters()) == expected == 18_042_754


def test_paper_classifier_ends_at_16x16_on_its_canvas():
    classifier = PaperClassifier(levels(4))
    for branch, feature in zip(classifier.branches, pyramid(1, 4, 1024, 1024), strict=True):
        assert branch(feature).shape == (1, 128, 16, 16)


@pytest.mark.parametrize("kind", [PaperClassifier, FCNClassifier])
@pytest.mark.parametrize("size", [(33, 57), (64, 160), (8, 8)])
def test_any_image_size_and_every_level_learns(kind, size):
    torch.manual_seed(0)
    classifier = kind(levels(16))
    logits = classifier(pyramid(2, 16, *size), [size] * 2)
    domain_loss(logits, torch.tensor([0, 1]), [size] * 2, levels(16))[0].mean().backward()
    silent = [
        n for n, p in classifier.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    silent = [n for n in silent if not n.endswith("bias")]  # a ReLU may be off at one position
    assert silent == []


@pytest.mark.parametrize("kind", [PaperClassifier, FCNClassifier])
def test_padding_is_not_seen(kind):
    """Different content in the padding, and more of it, changes nothing: it could tell the cameras
    apart."""
    torch.manual_seed(0)
    classifier, sizes, domains = kind(levels(8)), [(40, 72)], torch.tensor([1])
    features = pyramid(1, 8, 40, 72)
    padded = [
        F.pad(f, (0, 64 // s, 0, 128 // s), value=3.0)
        for f, s in zip(features, (4, 8, 16, 32), strict=True)
    ]
    plain, _ = domain_loss(classifier(features, sizes), domains, sizes, levels(8))
    more, _ = domain_loss(classifier(padded, sizes), domains, sizes, levels(8))
    torch.testing.assert_close(plain, more)


def test_fcn_cannot_be_beaten_by_scale():
    classifier, features = FCNClassifier(levels(8)), pyramid(1, 8, 32, 32)
    small, large = (classifier([s * f for f in features], [(32, 32)]) for s in (1.0, 1e4))
    for a, b in zip(small, large, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_domain_loss_against_a_plain_loop():
    generator = torch.Generator().manual_seed(3)
    sizes, domains = [(32, 32), (20, 32)], torch.tensor([0, 1])
    logits = [torch.randn(2, 2, 32 // s, 32 // s, generator=generator) for s in (4, 8, 16, 32)]
    loss, accuracy = domain_loss(logits, domains, sizes, levels(8))
    for image in range(2):
        losses, hits = [], []
        for logit, stride in zip(logits, (4, 8, 16, 32), strict=True):
            here, right = [], []
            for y in range(math.ceil(sizes[image][0] / stride)):
                for x in range(math.ceil(sizes[image][1] / stride)):
                    a, b = logit[image, :, y, x].tolist()
                    truth = (a, b)[image]
                    here.append(math.log(math.exp(a) + math.exp(b)) - truth)
                    right.append(float((b > a) == bool(image)))
            losses.append(sum(here) / len(here))
            hits.append(sum(right) / len(right))
        assert loss[image].item() == pytest.approx(sum(losses) / 4, abs=1e-5)
        assert accuracy[image].item() == pytest.approx(sum(hits) / 4, abs=1e-6)


def test_undecided_classifier_has_loss_ln2():
    loss, _ = domain_loss([torch.zeros(3, 2)], torch.tensor([0, 1, 1]), [(8, 8)] * 3, levels(8))
    torch.testing.assert_close(loss, torch.full((3,), LN2))


def watch_all(domain: list[float], detection: list[float]) -> None:
    guard = DivergenceGuard()
    for losses in zip(domain, detection, strict=True):
        guard.watch(*losses)


class TestGuard:
    def test_healthy_training_passes(self):
        watch_all(domain=[LN2] * 500, detection=[2 / (1 + i / 50) + 0.5 for i in range(500)])

    def test_one_spike_passes(self):
        watch_all(domain=[LN2] * 100 + [1e6] + [LN2] * 100, detection=[1.0] * 201)

    def test_domain_loss_in_the_thousands_stops(self):
        with pytest.raises(UserError, match=r"domain loss averages .* --grl-lambda"):
            watch_all(domain=[LN2 * 1.2**i for i in range(200)], detection=[1.0] * 200)

    def test_detection_destroyed_stops(self):
        with pytest.raises(UserError, match="detection loss rose from"):
            watch_all(domain=[LN2] * 400, detection=[1.0] * 100 + [5.0] * 300)
