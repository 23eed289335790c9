"""Starts that know COCO, against torchvision's own models with the same (random) weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models import detection

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.data import Annotations
from dmaskrcnn.detector import weights
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.errors import UserError

NAMES = detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"]
KNOWN = tuple(name for name in NAMES[1:] if name != "N/A")
OF_TORCHVISION = {
    "min_size": 128,
    "max_size": 192,
    "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 100,
    "rpn_score_thresh": 0.0,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 20,
}
MODELS = {"v2": "maskrcnn_resnet50_fpn_v2", "mobile": "fasterrcnn_mobilenet_v3_large_320_fpn"}


def small(preset: str) -> DetectorConfig:
    return replace(
        PRESETS[preset].detector,
        image_size=128,
        max_size=192,
        pre_nms=(200, 200),
        post_nms=(100, 100),
        min_score=0.0,
        max_detections=20,
    )


def reference(preset: str) -> nn.Module:
    """torchvision's model, with statistics and heads that tell something apart."""
    torch.manual_seed(0)
    build = getattr(detection, MODELS[preset])
    model = build(weights=None, weights_backbone=None, num_classes=91, **OF_TORCHVISION).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_(0, 0.05)
                module.get_buffer("running_var").uniform_(0.8, 1.2)
        predictor = model.roi_heads.box_predictor
        predictor.cls_score.weight.mul_(20)
        # rows that were never trained: ours has none of them
        predictor.cls_score.bias[[k for k, name in enumerate(NAMES) if name == "N/A"]] = -1e4
    return model


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch):
    """What the loading code downloads, instead of the real file."""
    asked = []

    def give(model: nn.Module) -> list:
        def download(chosen: object) -> dict[str, torch.Tensor]:
            asked.append(chosen)
            return model.state_dict()

        monkeypatch.setattr(weights, "download", download)
        return asked

    return give


@pytest.mark.parametrize("preset", MODELS)
def test_predictions_are_torchvisions(preset, downloaded):
    model = reference(preset)
    asked = downloaded(model)
    ours = Detector.create(KNOWN, small(preset), "coco").eval()
    assert ours.trained
    assert MODELS[preset].split("_")[1] in str(asked[0]).lower()
    picture = torch.randint(0, 256, (3, 128, 192), dtype=torch.uint8)
    with torch.no_grad():
        (expected,) = model([picture / 255])
    found = ours.predict(picture, threshold=0.0)
    assert len(found) == len(expected["boxes"]) > 0
    torch.testing.assert_close(found.scores, expected["scores"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.boxes, expected["boxes"], atol=1e-2, rtol=1e-4)
    assert found.names == [NAMES[k] for k in expected["labels"].tolist()]
    if "masks" in expected:
        assert torch.equal(found.masks, expected["masks"][:, 0] >= 0.5)


def test_the_new_mask_head_learns(downloaded):
    downloaded(reference("mobile"))
    ours = Detector.create(("car",), small("mobile"), "coco").train()
    masks = torch.zeros(1, 128, 128, dtype=torch.bool)
    masks[0, 20:100, 20:100] = True
    no = torch.zeros(1, dtype=torch.bool)
    boxes, labels = torch.tensor([[20.0, 20, 100, 100]]), torch.tensor([0])
    truth = Annotations(boxes, labels, masks, ~no, no, no)
    images = ours.normalise([torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)])
    losses = ours.losses(images, ours.features(images), [truth], [0])
    torch.stack(list(losses.values())).sum().backward()
    gradient = ours.get_parameter("roi_heads.mask_predictor.mask_fcn_logits.weight").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_each_architecture_has_its_weights():
    chosen = {name: str(weights.coco_weights(PRESETS[name].detector)) for name in ("v2", "mobile")}
    assert chosen["v2"].startswith("MaskRCNN_ResNet50_FPN_V2")
    assert "320" in chosen["mobile"]
    larger = replace(PRESETS["mobile"].detector, image_size=800, max_size=1333)
    assert "320" not in str(weights.coco_weights(larger))
    with pytest.raises(UserError, match="take one of these"):
        weights.coco_weights(PRESETS["cpu"].detector)
