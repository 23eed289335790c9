"""The converter of the weights that the dehazing networks' authors released."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from convert_dehazing_weights import convert, main
from dehazing_cases import check_aod_net, check_mscnn, random_aod_net, random_mscnn
from scipy.io import savemat
from scipy.ndimage import zoom

from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.mscnn import MSCNN
from dmaskrcnn.dehazing.pretrained import load_weights
from dmaskrcnn.errors import UserError

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"
realdata = pytest.mark.realdata
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_dir(), reason="the authors' weights (../shared/data/weights) are not here"
)


def write_mat(folder: Path, network: MSCNN) -> Path:
    """A pair of files as MatConvNet writes them."""
    kinds = ("conv", "relu", "pool", "upsmpl", "normalize") * 2 + (
        "conv",
        "relu",
        "pool",
        "upsmpl",
        "chnLinComb",
    )
    for mark, part in (("CL", network.coarse), ("FL", network.fine)):
        layers = np.empty((1, len(kinds)), dtype=object)
        convolutions = iter(part.convolutions)
        for i, kind in enumerate(kinds):
            layers[0, i] = {"type": kind}
            if kind in ("conv", "chnLinComb"):
                module = next(convolutions) if kind == "conv" else part.combination
                weight = module.weight.detach().numpy()
                filters = (
                    weight.transpose(2, 3, 1, 0)
                    if kind == "conv"
                    else weight[:, :, :, 0].transpose(0, 2, 1)
                )
                layers[0, i] |= {"filters": filters, "biases": module.bias.detach().numpy()[None]}
        savemat(folder / f"net_{mark}.mat", {"net": {"layers": layers}})
    return folder / "net_CL.mat"


def varint(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data, value = data + bytes([value & 0x7F | 0x80]), value >> 7
    return data + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def write_caffe(path: Path, network: AODNet) -> Path:
    message = field(1, b"net") + field(100, field(1, b"input") + field(2, b"Input"))
    for i, module in enumerate(network.convolutions):
        layer = (
            field(1, f"conv{i + 1}".encode())
            + field(2, b"Convolution")
            + varint(10 << 3)
            + varint(1)
        )
        for part in (module.weight, module.bias):
            values = part.detach().numpy()
            layer += field(
                7,
                field(5, values.astype("<f4").tobytes())
                + field(7, field(1, b"".join(map(varint, values.shape)))),
            )
        message += field(100, layer)
    path.write_bytes(message)
    return path


def converted(path: Path, network: MSCNN | AODNet) -> MSCNN | AODNet:
    """The network, filled from an authors' file by way of the converter."""
    out = path.with_name("converted.safetensors")
    convert(path, out)
    load_weights(network, "mscnn" if isinstance(network, MSCNN) else "aod-net", out)
    return network


def test_every_kind_of_file_is_converted(tmp_path: Path, capsys) -> None:
    mscnn, aod = random_mscnn(), random_aod_net()
    renamed = {
        f"e_conv{int(k.split('.')[1]) + 1}.{k.split('.')[2]}": v
        for k, v in aod.state_dict().items()
    }
    torch.save(renamed, tmp_path / "aod.pth")
    for path, original in (
        (write_mat(tmp_path, mscnn), mscnn),
        (tmp_path / "net_FL.mat", mscnn),
        (tmp_path / "aod.pth", aod),
        (write_caffe(tmp_path / "a.caffemodel", aod), aod),
    ):
        loaded = converted(path, type(original)())
        for a, b in zip(loaded.parameters(), original.parameters(), strict=True):
            assert torch.equal(a, b)
    said = json.loads((tmp_path / "converted.json").read_text())
    assert said == {"method": "aod-net", "converted from": "a.caffemodel"}
    main([str(tmp_path / "aod.pth"), str(tmp_path / "by-hand.safetensors")])
    assert capsys.readouterr().out == f"{tmp_path / 'by-hand.safetensors'}\n"


def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path, capsys) -> None:
    write_mat(tmp_path, random_mscnn())
    (tmp_path / "alone_CL.mat").write_bytes((tmp_path / "net_CL.mat").read_bytes())
    shutil.copy(tmp_path / "net_FL.mat", tmp_path / "twice_CL.mat")
    shutil.copy(tmp_path / "net_FL.mat", tmp_path / "twice_FL.mat")
    savemat(tmp_path / "other_CL.mat", {"something": 1})
    texts = ("text.mat", "text_CL.mat", "text_FL.mat", "text.pth", "text.caffemodel", "text.txt")
    for name in texts:
        (tmp_path / name).write_text("no weights at all")
    (tmp_path / "empty.caffemodel").touch()
    data = write_caffe(tmp_path / "whole.caffemodel", random_aod_net()).read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(data[: len(data) // 2])
    torch.save({"model": 1}, tmp_path / "other.pth")
    torch.save({"e_conv1.weight": torch.zeros(3, 3, 1, 1)}, tmp_path / "part.pth")
    nan = random_aod_net()
    nan.convolutions[0].bias.data[0] = torch.nan  # type: ignore[union-attr]
    write_caffe(tmp_path / "nan.caffemodel", nan)
    (tmp_path / "large.pth").write_bytes(b"0" * 10_000_001)
    others = ("alone_CL.mat", "twice_CL.mat", "other_CL.mat", "missing.mat", "empty.caffemodel")
    others += ("cut.caffemodel", "nan.caffemodel", "other.pth", "part.pth", "large.pth", ".")
    for name in (*texts, *others):
        with pytest.raises(UserError) as caught:
            convert(tmp_path / name, tmp_path / "out.safetensors")
        assert "\n" not in str(caught.value), name
        assert str(tmp_path) in str(caught.value), name
    assert not (tmp_path / "out.safetensors").exists()
    with pytest.raises(UserError, match="name such a file"):
        convert(tmp_path / "whole.caffemodel", tmp_path / "out.pth")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "text.pth"), str(tmp_path / "out.safetensors")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@realdata
@needs_weights
@pytest.mark.parametrize("released", [False, True])
def test_mscnn_with_the_authors_weights(released: bool, tmp_path: Path) -> None:
    network = MSCNN(released)
    convert(WEIGHTS / "MSCNNDehazing_CL.mat", tmp_path / "mscnn.safetensors")
    load_weights(network, "mscnn", tmp_path / "mscnn.safetensors")
    check_mscnn(network, smooth_image())


@realdata
@needs_weights
@pytest.mark.parametrize("name", ["aodnet_dehazer.pth", "AOD_Net.caffemodel"])
def test_aod_net_with_the_authors_weights(name: str, tmp_path: Path) -> None:
    network = AODNet()
    convert(WEIGHTS / name, tmp_path / "aod-net.safetensors")
    load_weights(network, "aod-net", tmp_path / "aod-net.safetensors")
    check_aod_net(network, smooth_image())


def smooth_image() -> torch.Tensor:
    """An image with structure of several sizes, in [0, 1]."""
    rng = np.random.default_rng(0)
    layers = [zoom(rng.random((3, 60 // s, 80 // s)), (1, s, s), order=1) for s in (20, 5, 1)]
    return torch.from_numpy(np.mean(layers, axis=0)).float()
