"""Levels are asked of the detector: whatever its backbone calls them, everything that needs the
pyramid works."""

from functools import partial
from pathlib import Path

import pytest
import torch
from data_files import write_image
from detector_cases import TINY
from torchvision.models import resnet18
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import (
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from dmaskrcnn.data import open_images
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.pyramid import Level, measure_levels
from dmaskrcnn.methods.parts.alignment import Alignment
from dmaskrcnn.report.feature_figures import pooled_features


def fcos(_: DetectorConfig) -> BackboneWithFPN:
    """P3-P7, as torchvision's FCOS and RetinaNet have them."""
    stages = {"layer2": "0", "layer3": "1", "layer4": "2"}
    return BackboneWithFPN(resnet18(), stages, [128, 256, 512], 16, LastLevelP6P7(16, 16))


def three_levels(_: DetectorConfig) -> BackboneWithFPN:
    """P2-P4 under names of their own, and a map that repeats the last one."""
    stages = {"layer1": "fine", "layer2": "middle", "layer3": "coarse"}
    return BackboneWithFPN(resnet18(), stages, [64, 128, 256], 16, LastLevelMaxPool())


OTHERS = {
    fcos: [("0", 8), ("1", 16), ("2", 32), ("p6", 64), ("p7", 128)],
    three_levels: [("fine", 4), ("middle", 8), ("coarse", 16)],
}


@pytest.fixture(params=OTHERS)
def other(request, monkeypatch) -> tuple[Detector, list[tuple[str, int]]]:
    """A detector on another pyramid, and its levels."""
    monkeypatch.setattr("dmaskrcnn.detector.detector.build_backbone", request.param)
    torch.manual_seed(0)
    return Detector(("car", "person"), TINY), OTHERS[request.param]


def test_levels_of_our_own_detector(detector: Detector):
    assert detector.levels == tuple(Level(str(i), 4 * 2**i, 16) for i in range(4))


def test_the_pyramid_is_torchvision_s_to_the_bit(detector: Detector):
    fpn = detector.backbone.fpn
    images = torch.rand(2, 3, 64, 96)
    results = []
    for forward in (fpn.forward, partial(FeaturePyramidNetwork.forward, fpn)):
        detector.zero_grad()
        found = forward(detector.backbone.body(images))
        sum(one.square().sum() for one in found.values()).backward()
        grads = [p.grad for p in detector.backbone.parameters() if p.requires_grad]
        results.append((found, grads))
    torch.testing.assert_close(*(found for found, _ in results), rtol=0, atol=0)
    torch.testing.assert_close(*(grads for _, grads in results), rtol=0, atol=0)


def test_levels_of_others(other):
    detector, levels = other
    assert detector.levels == tuple(Level(name, stride, 16) for name, stride in levels)


def test_measuring_leaves_the_backbone_as_it_was():
    backbone = fcos(TINY).train()
    backbone.body.layer2.eval()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    random = torch.get_rng_state()
    measure_levels(backbone)
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert backbone.training
    assert backbone.body.layer3.training
    assert not backbone.body.layer2.training
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("size", [(64, 96), (1, 1), (33, 65)])
def test_the_shown_part_of_a_map_is_never_empty(size):
    for stride in (4, 32, 128):
        maps = torch.zeros(2, 8, -(-64 // stride), -(-96 // stride))
        level = Level("x", stride, 8)
        rows, columns = level.shown(size)
        assert level.crop(maps, size).shape == (2, 8, rows, columns)
        assert (rows - 1) * stride < size[0] <= rows * stride
        assert (columns - 1) * stride < size[1] <= columns * stride


@pytest.mark.parametrize("kind", ["fcn", "paper"])
def test_others_are_aligned(other, tiny, kind):
    detector, levels = other
    alignment = Alignment(tiny(grl_on="both", classifier=kind).settings, detector)
    images = detector.normalise([torch.randint(0, 256, (3, 40, 90), dtype=torch.uint8)])
    features = detector.features(images)
    losses = alignment(detector, [features, features], [images.image_sizes] * 2, 0.5)
    assert set(losses.alignment) == {"domain", "instance", "consistency"}
    losses.total().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in alignment.parameters())
    per_level = alignment.get_submodule("image.heads" if kind == "fcn" else "image.embed")
    assert len(list(per_level.children())) == len(levels)


def test_features_of_others_are_measured(other, tmp_path: Path):
    detector, levels = other
    write_image(tmp_path / "a.png", 64, 80, 1)
    found = pooled_features(detector.eval(), open_images(tmp_path), [0])
    assert found.shape == (1, 16 * len(levels))


def test_others_detect(other):
    detector, _ = other
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    assert detector.eval().predict(image, 0.0).masks.shape[1:] == (64, 96)
