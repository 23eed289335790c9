import copy
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dmaskrcnn.data import Annotations, Batch, Sample
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.methods.parts.detection import features_of_both, one_pass
from dmaskrcnn.methods.parts.losses import Losses, column
from dmaskrcnn.training.learner import Learner


def sample(seed: int, labelled: bool) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=generator)
    objects = None
    if labelled:
        masks = torch.zeros(2, 64, 96, dtype=torch.bool)
        masks[0, 8:40, 8:40] = masks[1, 20:60, 50:90] = True
        flags = torch.zeros(2, dtype=torch.bool)
        boxes = torch.tensor([[8.0, 8, 40, 40], [50, 20, 90, 60]])
        objects = Annotations(boxes, torch.tensor([0, 1]), masks, ~flags, flags, flags.clone())
    return Sample(image, __file__, seed, objects, seed)  # type: ignore[arg-type]


@pytest.fixture
def batch() -> Batch:
    return Batch([sample(1, True), sample(2, True)], [sample(3, False)])


def method_for(config):
    torch.manual_seed(0)
    method = config.settings.build(Detector(("car", "person"), config.detector))
    Learner(method).train()
    return method


DETECTION = {"objectness", "rpn_box_reg", "classifier", "box_reg", "mask"}


def test_source_gives_the_detection_losses(tiny, batch):
    losses = method_for(tiny(method="source")).losses(batch, 0.0)
    assert set(losses.detection) == DETECTION
    assert set(losses.columns()) == {f"detection/{name}" for name in DETECTION}


def test_grl_adds_the_domain_loss(tiny, batch):
    losses = method_for(tiny()).losses(batch, 0.0)
    assert set(losses.detection) == DETECTION
    assert set(losses.alignment) == {"domain"}
    assert not losses.target
    assert 0 <= losses.logs["domain_accuracy"] <= 1
    assert losses.logs["lambda"] == pytest.approx(0.1)


def test_grl_detection_losses_ignore_the_target(tiny, batch):
    """With frozen statistics an image's losses do not depend on its companions of the same size."""
    method = method_for(tiny(weights="imagenet", preset="cpu"))
    with_target = method.losses(batch, 0.0)
    other = method.losses(Batch(batch.source, [sample(9, False)]), 0.0)
    for name in DETECTION:
        torch.testing.assert_close(with_target.detection[name], other.detection[name], msg=name)
    assert not torch.equal(with_target.alignment["domain"], other.alignment["domain"])


def test_frozen_detector_gives_the_domain_loss_alone(tiny, batch):
    method = method_for(tiny())
    method.detector.requires_grad_(False)
    losses = method.losses(batch, 0.0)
    assert not losses.detection
    losses.total().backward()
    assert all(p.grad is None for p in method.detector.parameters())
    assert all(p.grad is not None for p in method.classifier.parameters())


def test_gate_stops_pushing_images_that_fool_the_classifier(tiny, batch):
    """A classifier that is wrong about every image sends the features no gradient; without the gate
    it does."""
    norms = {}
    for gate in (True, False):
        method = method_for(tiny(grl_reverse="gated" if gate else "always"))
        # sure of the wrong domain for the target, and undecided weights elsewhere
        for head in method.alignment.image.heads:
            torch.nn.init.zeros_(head[-1].bias)
        target_only = Batch([], batch.target)
        for head in method.alignment.image.heads:
            head[-1].bias.data = torch.tensor([5.0, -5.0])
        losses = method.losses(Batch(batch.source, target_only.target), 0.0)
        losses.alignment["domain"].backward()
        stem = method.detector.backbone.body.conv1.weight.grad
        norms[gate] = float(stem.norm())
    assert norms[True] < norms[False]


def test_ramp_raises_lambda_with_progress(tiny, batch):
    method = method_for(tiny(grl_ramp=True))
    early, late = (method.losses(batch, p).logs["lambda"] for p in (0.0, 1.0))
    assert early == 0
    assert late == pytest.approx(0.1, rel=1e-3)


def test_boxes_without_masks_leave_the_mask_head_alone(tiny, batch):
    batch = copy.deepcopy(batch)
    for s in batch.source:
        s.objects.has_mask[:] = False
        s.objects.masks[:] = False
    method = method_for(tiny(method="source"))
    losses = method.losses(batch, 0.0)
    assert losses.detection["mask"] == 0
    losses.total().backward()
    for p in method.detector.roi_heads.mask_head.parameters():
        assert p.grad is not None  # distributed training needs one
        assert (p.grad == 0).all()


def test_negative_images_train(tiny):
    empty = sample(1, False)
    empty.objects = Annotations.empty(64, 96)
    losses = method_for(tiny(method="source")).losses(Batch([empty]), 0.0)
    assert all(torch.isfinite(v) for v in losses.detection.values())
    assert losses.detection["box_reg"] == losses.detection["mask"] == 0
    losses.total().backward()


@pytest.mark.parametrize(
    ("norm", "alike", "same"),
    [("frozen", True, True), ("frozen", False, False), ("batch", False, True)],
)
def test_padding_of_both_domains(norm, alike, same):
    """A domain classifier, and BatchNorm, must not see that one domain's pictures are smaller."""
    config = DetectorConfig("resnet18", 16, 16, image_size=64, max_size=96, norm=norm)
    small = Sample(torch.zeros(3, 32, 32, dtype=torch.uint8), __file__, 4)
    batch = Batch([sample(1, True)], [small, small])
    first, second, halves = features_of_both(Detector(("car",), config), batch, alike)
    assert (first.image_sizes, second.image_sizes) == ([(64, 96)], [(32, 32)] * 2)
    assert (
        [len(images.tensors) for images in (first, second)]
        == [len(half["0"]) for half in halves]
        == [1, 2]
    )
    assert (first.tensors.shape[2:] == second.tensors.shape[2:]) == same
    assert (halves[0]["0"].shape[2:] == halves[1]["0"].shape[2:]) == same


def test_one_pass_where_a_gpu_gains_by_it():
    config = DetectorConfig("resnet18", 16, 16, image_size=64, max_size=96)
    torch.manual_seed(0)
    detector = Detector(("car",), config)
    small = Sample(torch.zeros(3, 32, 32, dtype=torch.uint8), __file__, 4)
    alike = Batch([sample(1, True)], [sample(2, False)])
    gpu: Any = SimpleNamespace(device=torch.device("cuda"))
    assert one_pass(gpu, alike)
    assert not one_pass(gpu, Batch([sample(1, True)], [small]))
    assert not one_pass(detector, alike)
    together, apart = (features_of_both(detector, alike, same)[2] for same in (True, False))
    for one, other in zip(together, apart, strict=True):
        for name, maps in one.items():
            near = 1e-5 * float(maps.detach().abs().max())
            torch.testing.assert_close(maps, other[name], rtol=1e-4, atol=near)


def test_losses_add_up_by_kind():
    one, two, four = (torch.tensor(v) for v in (1.0, 2.0, 4.0))
    losses = Losses({"mask": one, "box_reg": two}, {"mask": four}, {}, {"lambda": four})
    assert losses.total() == 7
    row = {name: float(value) for name, value in losses.columns().items()}
    assert list(row) == ["detection/mask", "detection/box_reg", "target/mask", "lambda"]
    row |= {"loss": 99.0, "detections": 8.0, "alignment/domain": 16.0}
    names = ("detection", "target", "alignment/domain", "lambda", "gone")
    assert [column(row, name) for name in names] == [3, 4, 16, 4, None]


def test_methods_are_read_without_torch():
    """The command line reads them for ``--help``."""
    names = ("base", "source", "grl", "teacher", "oracle")
    code = "import sys; " + "; ".join(
        f"__import__('importlib').import_module('dmaskrcnn.methods.{name}')" for name in names
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
