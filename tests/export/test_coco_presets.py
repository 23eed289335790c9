"""The presets whose starts know COCO, from a start through training, stop, resume, prediction and
scores to both runtimes; small, and of `mobile` with torchvision's own network as what is
downloaded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from export_cases import CLASSES, exported, needed, picture
from predict_cases import content
from run_files import assert_same_bits
from serve_cases import JPEG, encoded
from torchvision.models import detection

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main
from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.detector import weights
from dmaskrcnn.export import load
from dmaskrcnn.export.agreement import agree
from dmaskrcnn.training import loop
from dmaskrcnn.training.loop import resume, train

SMALL = {"image_size": 64, "max_size": 96, "rois_sampled": 16, "anchors_sampled": 16}
SMALL |= {"pre_nms": (60, 60), "post_nms": (30, 30), "max_detections": 10}
# widths that torchvision's weights would not fit
NARROW = {"v2": {"backbone": "resnet18", "fpn_channels": 16, "box_head_width": 16}, "mobile": {}}
Options = Callable[..., TrainConfig]


@pytest.fixture(params=NARROW)
def preset(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def start(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``--weights`` names."""
    torch.manual_seed(0)
    if preset == "mobile":
        build = detection.fasterrcnn_mobilenet_v3_large_320_fpn
        model = build(weights=None, weights_backbone=None, num_classes=91)
        monkeypatch.setattr(weights, "download", lambda chosen: model.state_dict())
        return "coco"
    config = replace(PRESETS[preset].detector, **SMALL, **NARROW[preset])
    Detector(CLASSES, config).save(tmp_path / "start")
    return str(tmp_path / "start")


@pytest.fixture
def config(preset: str, start: str, clear: Path, tmp_path: Path) -> Options:
    usual = {"method": "source", "source": clear, "weights": start, "iterations": 2, "batch": 2}
    usual |= {"warmup": 1, "workers": 0, "device": "cpu", "precision": "float32"}
    usual |= {"out": tmp_path / "runs", **SMALL, **NARROW[preset]}
    return lambda **values: TrainConfig.from_preset(preset, **(usual | values))


def test_trained_stopped_resumed_and_used(
    config: Options, clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    unbroken, step = train(config(name="unbroken")), loop.step

    def stopped(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "step", stopped)
        with pytest.raises(SystemExit):
            train(config())
    run = resume(tmp_path / "runs" / "source-1")
    assert_same_bits(unbroken, run)
    pictures, found = next((clear / "images").iterdir()), tmp_path / "found"
    main(["predict", str(run), str(pictures), "--threshold", "0", "--out", str(found)])
    (one,) = content(found)["images"]
    assert one["detections"]
    main(["evaluate", str(run), "--data", str(clear)])
    assert "COCO box AP" in capsys.readouterr().out


def served(detector: Any) -> int:
    """How many objects a service answers with."""
    pytest.importorskip("fastapi", reason="needs dmaskrcnn[serve]")
    testclient = pytest.importorskip("starlette.testclient", reason="needs httpx")
    from dmaskrcnn.serve.http import make_app
    from dmaskrcnn.serve.limits import Limits
    from dmaskrcnn.serve.service import Service

    with testclient.TestClient(make_app(Service({"a": detector}, Limits()))) as client:
        answer = client.post("/predict?threshold=0.05", content=encoded((96, 64)), headers=JPEG)
    assert answer.status_code == 200, answer.text
    return len(answer.json()["detections"])


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_exported(preset: str, start: str, tmp_path: Path, runtime: str):
    needed("onnx", "onnxruntime", "openvino")
    shape = replace(PRESETS[preset].detector, **SMALL, **NARROW[preset])
    detector = Detector.create(CLASSES, shape, start).eval()
    detector.save(tmp_path / "run")
    ours = load(exported(tmp_path / "run", tmp_path / "out", runtime))
    small = [detector.resize(picture(*size, seed=i)) for i, size in enumerate(((64, 96), (90, 70)))]
    found = agree((detector.predict(image, 0.05), ours.predict(image, 0.05)) for image in small)
    assert found.objects > 5
    assert (found.lost, found.added) == (0, 0)
    assert found.box < 0.01
    assert found.mask >= 0.99
    assert served(ours) == served(detector) > 0
