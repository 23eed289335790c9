"""`benchmarks/inference.py` runs: on a tiny detector, each variant once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import inference
import pytest
from export_cases import needed


def test_every_variant_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    needed("onnx", "onnxruntime", "openvino")
    file = tmp_path / "times.json"
    variants = [v for v in inference.VARIANTS if v != "openvino-int8"]  # NNCF takes its time
    words = ["--models", "r18", "--tiny", "--rounds", "1", "--pictures", "1", "--size", "64", "96"]
    monkeypatch.setattr(sys, "argv", ["", *words, "--json", str(file), "--variants", *variants])
    inference.main()
    (result,) = json.loads(file.read_text())
    assert list(result["seconds"]) == variants
    assert all(len(times) == 1 and times[0] > 0 for times in result["seconds"].values())
    assert capsys.readouterr().out.count("\n| ") >= len(variants)
