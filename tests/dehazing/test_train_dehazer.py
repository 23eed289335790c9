"""The training of dehazing networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from dmaskrcnn.cli.main import main
from dmaskrcnn.dehazing import dehaze, mscnn, synthesis
from dmaskrcnn.dehazing.mscnn import MSCNN
from dmaskrcnn.dehazing.synthesis import Clear, random_pair
from dmaskrcnn.dehazing.train_dehazer import optimise, train_dehazer
from dmaskrcnn.demo.scenes import rendered_pictures
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.photographs import photographs


def test_synthetic_haze_obeys_the_scattering_model(photos: Path) -> None:
    pictures = [
        *rendered_pictures(1, 3, progress=False),
        *islice(photographs([photos / "a"], progress=False), 2),
    ]
    assert [picture.depth is None for picture in pictures] == [False, True, True]
    rng = np.random.default_rng(0)
    means = []
    for turn in range(12):
        hazy, clear, t = random_pair(pictures[turn % 3], rng)
        assert hazy.shape == clear.shape == (3, 160, 224)
        assert 0.0199 < float(t.min()) <= float(t.max()) <= 1
        means.append(float(t.mean()))
        thick = (t < 0.97).expand_as(hazy)
        light = ((hazy - clear * t) / (1 - t))[thick]
        # one colour, within its tint and 8 bits
        assert float((light - light.mean()).abs().mean()) < 0.06
    assert max(means) - min(means) > 0.3


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_only_weights_that_it_wrote_are_overwritten(name: str, tmp_path: Path) -> None:
    (other := tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=f"{name}: exists and was not written by"):
        train_dehazer("aod-net", tmp_path / "model.safetensors", [])
    assert other.read_text() == "{}"


@pytest.mark.parametrize("method", ["mscnn", "aod-net"])
def test_training_makes_weights_that_dehaze_reads(
    method: str, tmp_path: Path, photos: Path, capsys
) -> None:
    out = tmp_path / "made" / "net.safetensors"
    flags = f"--method {method} --steps 3 --scenes 5 --batch-size 2 --device cpu"
    main(["train-dehazer", *flags.split(), "--out", str(out), "--clear", str(photos)])
    assert str(out) in capsys.readouterr().out
    description = json.loads(out.with_suffix(".json").read_text())
    assert description["pictures"] == {
        "photographs": 7,
        "rendered scenes": 5,
        "of these kept out": 2,
    }
    assert str(tmp_path) not in json.dumps(description)
    assert dehaze(torch.rand(3, 20, 30), method, out).shape == (3, 20, 30)


def test_training_is_repeatable_and_reduces_the_loss(tmp_path: Path, monkeypatch) -> None:
    results = [
        train_dehazer(
            "aod-net",
            tmp_path / f"{i}.safetensors",
            rendered_pictures(5, 0, progress=False),
            steps=2,
            batch_size=1,
            progress=False,
        )
        for i in range(2)
    ]
    assert results[0].weights.read_bytes() == results[1].weights.read_bytes()
    assert results[0].hazy_psnr == results[1].hazy_psnr

    # haze of one density is learnt in a few steps
    monkeypatch.setattr(synthesis, "MEAN_TRANSMISSION", (0.25, 0.25))
    pictures = list(rendered_pictures(2, 0, progress=False))
    torch.manual_seed(0)
    network = MSCNN()
    pair = [part[None] for part in random_pair(pictures[0], np.random.default_rng(1))]
    before = network.loss(*pair).item()
    optimise(network, pictures, 25, 1, 5e-3, np.random.default_rng(2), progress=False)
    assert network.loss(*pair).item() < 0.7 * before


def test_training_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    def not_asked_for() -> Iterator[Clear]:
        raise AssertionError("pictures are made although the arguments are wrong")
        yield

    (tmp_path / "empty").mkdir()
    out = tmp_path / "x.safetensors"
    empty, missing = (photographs([tmp_path / name], False) for name in ("empty", "missing"))
    for method, path, pictures, steps, message in (
        ("dark-channel", out, not_asked_for(), 1, "cannot be trained"),
        ("mscnn", tmp_path / "x.pth", not_asked_for(), 1, "name such a file"),
        ("mscnn", out, not_asked_for(), 0, "at least 1"),
        ("mscnn", out, empty, 1, "no readable pictures"),
        ("mscnn", out, missing, 1, "no readable pictures"),
        ("mscnn", out, [], 1, "too few"),
    ):
        with pytest.raises(UserError, match=message):
            train_dehazer(method, path, pictures, steps, progress=False)


def test_mscnn_loss_does_not_move_the_coarse_network_through_the_fine_one() -> None:
    network = MSCNN()
    hazy, clear, t = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16)
    network.loss(hazy, clear, t).backward()
    both = [parameter.grad.clone() for parameter in network.coarse.parameters()]
    network.zero_grad()
    half = torch.nn.functional.avg_pool2d(t, 2)
    balanced = hazy / mscnn.estimate_airlight(hazy)[:, :, None, None]
    torch.nn.functional.mse_loss(network.coarse(balanced), half).backward()
    for gradient, parameter in zip(both, network.coarse.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)
