"""Adapted norms give target images the statistics of source images, layer by layer; training is not
touched."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from dmaskrcnn import Detector, DetectorConfig
from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.detector.pyramid import without_padding
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.adabn import Norm, _batches, _chosen, adapt_norms
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.loop import resume, train


@pytest.fixture(params=["frozen", "batch"])
def detector(request) -> Detector:
    torch.manual_seed(0)
    config = DetectorConfig(
        backbone="resnet18", fpn_channels=16, image_size=64, max_size=96, norm=request.param
    )
    return Detector(["car", "person"], config).train()


@pytest.fixture
def domains(clear, hazy):
    """Six scenes each, which make one batch."""
    return open_dataset(clear), open_images(hazy)


def outputs(detector: Detector, images) -> list[tuple[Tensor, Tensor]]:
    """Mean and deviation of what each norm puts out, by torch's own reduction."""
    (batch,) = _batches(detector, _chosen(images, 0, ()))
    found: list[tuple[Tensor, Tensor]] = []
    norms = [m for m in detector.backbone.modules() if isinstance(m, Norm)]
    hooks = [
        n.register_forward_hook(
            lambda _, __, y: found.append((y.mean((0, 2, 3)), y.std((0, 2, 3), correction=0)))
        )
        for n in norms
    ]
    with torch.no_grad():
        detector.eval().backbone(batch.tensors)
    for hook in hooks:
        hook.remove()
    assert len(found) == len(norms) > 15
    return found


def test_target_features_take_the_sources_statistics(detector, domains):
    source, target = domains
    before, hazy = outputs(detector, source), outputs(detector, target)
    assert adapt_norms(detector.train(), source, target, share=1.0) == 6
    assert detector.training
    after = outputs(detector, target)
    assert not torch.allclose(hazy[0][1], before[0][1], rtol=0.05)  # there was something to do
    for (mean, deviation), (wanted_mean, wanted) in zip(after, before, strict=True):
        alive = wanted > 0.01
        torch.testing.assert_close(mean[alive], wanted_mean[alive], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(deviation[alive], wanted[alive], rtol=1e-2, atol=1e-3)


def test_half_the_way_at_the_first_norm(detector, domains):
    source, target = domains
    (m_s, s_s), (m_t, s_t) = outputs(detector, source)[0], outputs(detector, target)[0]
    adapt_norms(detector, source, target, share=0.5)
    mean, deviation = outputs(detector, target)[0]
    alive = s_s > 0.01
    gain = s_s / (0.5 * s_s + 0.5 * s_t)
    torch.testing.assert_close(deviation[alive], (s_t * gain)[alive], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        mean[alive], ((m_t - 0.5 * m_s - 0.5 * m_t) * gain + m_s)[alive], rtol=1e-3, atol=1e-3
    )
    assert gain.max() < 2  # a channel that is dead in the target is not blown up


def test_norms_of_the_pyramid_stay(domains):
    """As those of the heads: features of the backbone are what haze changes."""
    config = DetectorConfig(
        backbone="resnet18", fpn_channels=16, image_size=64, max_size=96, heads="deep"
    )
    detector = Detector(["car", "person"], config)
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    assert adapt_norms(detector, *domains, share=0.5) == 6
    changed = {k for k, v in detector.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(name.startswith("backbone.body.") for name in changed)


def test_no_share_changes_nothing(detector, domains):
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    adapt_norms(detector, *domains, share=0.0)
    for name, value in detector.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-4, atol=1e-5)


def test_padding_does_not_count():
    maps = torch.full((2, 3, 4, 8), torch.nan)
    maps[0, :, :2, :], maps[1, :, :, :5] = 1.0, 2.0
    values = without_padding(maps, ImageList(torch.zeros(2, 3, 32, 64), [(16, 64), (32, 40)]))
    assert values.shape == (3, 2 * 8 + 4 * 5)
    assert values.isfinite().all()


def saved(run) -> dict[str, Tensor]:
    return load_file(run / "model.safetensors")


def test_after_a_training_is_as_at_its_end(tiny, hazy, capsys):
    options = {"method": "teacher", "target": (hazy,), "iterations": 3, "burn_in": 0.0}
    plain, at_the_end = train(tiny(**options)), train(tiny(**options, adabn=0.5))
    assert "statistics of 6 target images" in capsys.readouterr().err
    afterwards = train(
        tiny(method="source", target=(hazy,), weights=str(plain), iterations=0, adabn=0.5)
    )
    untrained = train(tiny(method="source", weights=str(plain), iterations=0))
    different = [k for k, v in saved(plain).items() if not torch.equal(v, saved(at_the_end)[k])]
    assert different
    assert all("bn" in k or "downsample.1" in k for k in different)
    for name, value in saved(afterwards).items():
        torch.testing.assert_close(value, saved(at_the_end)[name])
        assert torch.equal(saved(untrained)[name], saved(plain)[name])
    student, same = (Checkpoint.load(run).model for run in (plain, at_the_end))
    assert all(torch.equal(student[k], same[k]) for k in student)


def test_once_only(tiny, hazy):
    run = train(tiny(method="source", target=(hazy,), iterations=2, adabn=0.5))
    before = saved(run)
    resume(run)
    assert all(torch.equal(v, before[k]) for k, v in saved(run).items())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"target": ()}, "--adabn needs --target"),
        ({"adabn": 2.0}, "--adabn must be in"),
        ({"iterations": 0}, "--iterations 0 needs a trained detector, not --weights scratch"),
    ],
)
def test_options_that_do_not_fit_are_told(tiny, hazy, overrides, message):
    with pytest.raises(UserError, match=message):
        tiny(**({"method": "source", "target": (hazy,), "adabn": 0.5} | overrides))
