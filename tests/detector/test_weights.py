"""Weights on disk and from torchvision, and how they get into a detector."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from detector_cases import TINY
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.weights import read_state
from dmaskrcnn.errors import UserError


class TestWeights:
    def test_round_trip(self, detector, image, tmp_path):
        detector.save(tmp_path, weights="ema")
        again = Detector.load(tmp_path, "cpu", "float32")
        assert again.classes == detector.classes
        assert again.config == detector.config
        for a, b in zip(
            detector.predict(image, 0.0).to_coco(1, {"car": 1, "person": 2}),
            again.predict(image, 0.0).to_coco(1, {"car": 1, "person": 2}),
            strict=True,
        ):
            assert a == b
        assert json.loads((tmp_path / "model.json").read_text())["weights"] == "ema"

    def test_shared_classes_keep_their_rows(self, detector, tmp_path):
        detector.save(tmp_path)
        other = Detector.create(("bus", "person"), TINY, str(tmp_path))
        for name, per_class in (
            ("box_predictor.cls_score", 1),
            ("box_predictor.bbox_pred", 4),
            ("mask_predictor.mask_fcn_logits", 1),
        ):
            old, new = (
                d.roi_heads.get_submodule(name).weight.unflatten(0, (-1, per_class))
                for d in (detector, other)
            )
            assert torch.equal(old[[0, 2]], new[[0, 2]])
            assert not torch.equal(old[1], new[1])

    def test_coco_by_name(self, monkeypatch):
        """torchvision's downloader is replaced by weights made here: the names and rows are
        real."""
        torch.manual_seed(0)
        state = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
        monkeypatch.setattr(
            MaskRCNN_ResNet50_FPN_Weights, "get_state_dict", lambda self, **_: dict(state)
        )
        detector = Detector.create(("motorbike", "wombat"), DetectorConfig(image_size=64), "coco")
        row = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"].index("motorcycle")
        key = "roi_heads.box_predictor.cls_score.weight"
        assert torch.equal(detector.state_dict()[key][1], state[key][row])
        with pytest.raises(UserError, match="preset default"):
            Detector.create(("car",), TINY, "coco")

    def test_backbone_file(self, tmp_path):
        from safetensors.torch import save_file
        from torchvision.models import resnet18

        torch.manual_seed(0)
        state = resnet18().state_dict()
        save_file(
            {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
            tmp_path / "r18.safetensors",
        )
        torch.save(state, tmp_path / "r18.pth")
        for file in ("r18.safetensors", "r18.pth"):
            detector = Detector.create(("car",), TINY, str(tmp_path / file))
            torch.testing.assert_close(
                detector.backbone.body.conv1.weight, state["conv1.weight"], atol=1e-3, rtol=1e-3
            )

    def test_download_failure_is_one_line(self, monkeypatch):
        def fail(*_: object, **__: object) -> Mapping[str, Tensor]:
            raise OSError("no route to host")

        from torchvision.models import ResNet18_Weights

        monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fail)
        with pytest.raises(UserError, match=r"could not download.*local"):
            Detector.create(("car",), TINY, "imagenet")

    @pytest.mark.parametrize(
        "change", [{"backbone": "resnet34"}, {"fpn_channels": 32}, {"mask_head_layers": 2}]
    )
    def test_another_architecture_is_named(self, detector, tmp_path, change):
        detector.save(tmp_path)
        with pytest.raises(UserError, match="does not fit the architecture"):
            Detector.create(("car",), DetectorConfig(**{**vars(TINY), **change}), str(tmp_path))

    def test_pickle_is_never_run(self, tmp_path):
        import pickle

        class Bomb:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "boom",))

        (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
        torch.save({"x": Bomb()}, tmp_path / "zip.pth")
        for file in ("bomb.pth", "zip.pth"):
            with pytest.raises(UserError, match=file):
                read_state(tmp_path / file)
        assert not (tmp_path / "boom").exists()

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.safetensors", b"nonsense"), ("a.pth", b""), ("a.pth", b"nonsense")],
    )
    def test_damaged_files(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_state(tmp_path / name)

    def test_missing_and_damaged_folders(self, detector, tmp_path):
        with pytest.raises(UserError, match="not found"):
            Detector.load(tmp_path)
        detector.save(tmp_path)
        (tmp_path / "model.json").write_text('{"classes": ["car"]}')
        with pytest.raises(UserError, match="not a detector's description"):
            Detector.load(tmp_path)
        with pytest.raises(UserError, match="no such weights"):
            read_state(tmp_path / "nothing.pth")

    def test_a_whole_detector_without_a_description(self, detector, tmp_path):
        """torchvision's of COCO is known by its number of classes; of others nobody knows."""
        for count in (91, 8):
            other = Detector([f"class {i}" for i in range(1, count)], detector.config)
            state = {name: value.contiguous() for name, value in other.state_dict().items()}
            save_file(state, tmp_path / f"{count}.safetensors")
        state = load_file(tmp_path / "91.safetensors")
        created = Detector.create(("car", "bus"), detector.config, str(tmp_path / "91.safetensors"))
        bias = "roi_heads.box_predictor.cls_score.bias"
        assert torch.equal(created.state_dict()[bias], state[bias][[0, 3, 6]])
        with pytest.raises(UserError, match=r"8.safetensors: is of 7 classes, and which is not sa"):
            Detector.create(("car", "bus"), detector.config, str(tmp_path / "8.safetensors"))
