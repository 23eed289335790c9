"""Weights of the dehazing networks on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from dehazing_cases import random_aod_net, random_mscnn

from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.mscnn import MSCNN
from dmaskrcnn.dehazing.pretrained import load_weights, save_weights
from dmaskrcnn.errors import UserError


@pytest.mark.parametrize(("name", "build"), [("mscnn", random_mscnn), ("aod-net", random_aod_net)])
def test_weights_are_written_and_read(name: str, build, tmp_path: Path) -> None:
    network, loaded = build(), {"mscnn": MSCNN, "aod-net": AODNet}[name]()
    save_weights(network, tmp_path / "net.safetensors", {"made": "by a test"})
    assert json.loads((tmp_path / "net.json").read_text()) == {"made": "by a test"}
    load_weights(loaded, name, tmp_path / "net.safetensors")
    for a, b in zip(loaded.parameters(), network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wrong_weights_files_are_refused_in_one_line(tmp_path: Path) -> None:
    save_weights(random_aod_net(), tmp_path / "aod.safetensors", {})
    nan = random_aod_net()
    nan.convolutions[0].bias.data[0] = torch.nan  # type: ignore[union-attr]
    save_weights(nan, tmp_path / "nan.safetensors", {})
    for name in ("text.safetensors", "net_CL.mat", "a.caffemodel", "a.pth", "a.onnx"):
        (tmp_path / name).write_text("no weights at all")
    (tmp_path / "large.safetensors").write_bytes(b"0" * 10_000_001)
    for method, name, message in (
        ("mscnn", "aod.safetensors", "not the weights of mscnn"),
        ("mscnn", "text.safetensors", "cannot be read"),
        ("mscnn", "missing.safetensors", "no such weights file"),
        ("mscnn", ".", "no such weights file"),
        ("mscnn", "net_CL.mat", r"convert_dehazing_weights\.py .*net_CL\.mat mscnn\.safetensors"),
        ("aod-net", "a.caffemodel", r"convert_dehazing_weights\.py"),
        ("aod-net", "a.pth", r"convert_dehazing_weights\.py"),
        ("aod-net", "a.onnx", "no weights of aod-net"),
        ("aod-net", "nan.safetensors", "not finite"),
        ("aod-net", "large.safetensors", "too large"),
    ):
        network = MSCNN() if method == "mscnn" else AODNet()
        with pytest.raises(UserError, match=message) as caught:
            load_weights(network, method, tmp_path / name)
        assert "\n" not in str(caught.value), name
        assert str(tmp_path) in str(caught.value), name
