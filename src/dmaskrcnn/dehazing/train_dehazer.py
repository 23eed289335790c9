"""Trains MSCNN or AOD-Net in minutes on clear pictures behind synthetic haze.

dmaskrcnn train-dehazer --method aod-net --out my-aod-net.safetensors
dmaskrcnn train-dehazer --method mscnn --clear photos/ --out my-mscnn.safetensors --steps 20     # a
tiny run
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from dmaskrcnn.dehazing import aodnet, mscnn
from dmaskrcnn.dehazing.pretrained import NETWORKS, save_weights
from dmaskrcnn.dehazing.synthesis import Clear, photographs, random_pair
from dmaskrcnn.demo.scenes import rendered_pictures
from dmaskrcnn.errors import UserError

LEARNING_RATE = {"mscnn": 2e-3, "aod-net": 2e-3}  # Adam's, falling along a cosine
VALIDATION = 24  # pictures kept out of training, at most a fifth


@dataclass
class TrainedDehazer:
    """Result of ``train_dehazer``: the file, and the mean PSNR [dB] on pictures kept out, hazy and
    dehazed."""

    weights: Path
    hazy_psnr: float
    psnr: float
    seconds: float

    def __str__(self) -> str:
        gain = f"hazy {self.hazy_psnr:.2f} dB, dehazed {self.psnr:.2f} dB"
        return f"pictures kept out of training: {gain}; {self.seconds:.0f} s\n{self.weights}"


def train_dehazer(
    method: str,
    out: Path | str,
    clear: Sequence[Path | str] = (),
    steps: int = 3000,
    batch_size: int = 4,
    scenes: int = 100,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> TrainedDehazer:
    """Train a dehazing network and write its weights, with a JSON beside them that says how they
    were made.

    Args:
        method: "mscnn" or "aod-net".
        out: the ``.safetensors`` to write.
        clear: folders of clear photographs; their transmission is invented (see ``synthesis``).
        steps: optimiser steps; 3000 take three to eight minutes on one core.
        batch_size: pictures of 160 by 224 pixels per step.
        scenes: rendered scenes, with true depth, to train on beside the photographs; 0 for none.
        seed: of scenes, haze and initial weights.
        device: where to train.
        progress: show progress on stderr.

    Raises:
        UserError: for a method that cannot be trained, nothing to train on, unreadable folders, and
        divergence.
    """
    if method not in NETWORKS:
        raise UserError(f"method: {method!r} cannot be trained; choose from {', '.join(NETWORKS)}")
    if steps < 1 or batch_size < 1 or scenes < 0:
        raise UserError("steps and batch_size must be at least 1, scenes at least 0")
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the weights are written as .safetensors; name such a file")
    start = time.monotonic()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures = photographs([Path(folder) for folder in clear], progress) + rendered_pictures(
        scenes, seed, progress
    )
    if len(pictures) < 5:
        raise UserError(
            f"clear, scenes: {len(pictures)} pictures are too few to train on; give more"
        )
    pictures = [pictures[i] for i in rng.permutation(len(pictures))]
    kept_out = min(VALIDATION, len(pictures) // 5)
    validation = [random_pair(picture, rng) for picture in pictures[:kept_out]]
    network = build(method).to(device)
    optimise(network, pictures[kept_out:], steps, batch_size, LEARNING_RATE[method], rng, progress)
    hazy_psnr, score = validate(network, validation)
    result = TrainedDehazer(out, hazy_psnr, score, time.monotonic() - start)
    description = {
        "method": method,
        "command": shlex.join(
            ["dmaskrcnn", "train-dehazer", "--method", method]
            + (["--clear", *(Path(folder).name for folder in clear)] if clear else [])
            + [
                "--scenes",
                str(scenes),
                "--steps",
                str(steps),
                "--batch-size",
                str(batch_size),
                "--seed",
                str(seed),
            ]
        ),
        "pictures": {
            "photographs": len(pictures) - scenes,
            "rendered scenes": scenes,
            "of these kept out": kept_out,
        },
        "psnr_db_of_kept_out": {"hazy": round(hazy_psnr, 2), "dehazed": round(score, 2)},
        "seconds": round(result.seconds),
        "torch": torch.__version__,
    }
    save_weights(network, out, description)
    return result


def build(method: str) -> torch.nn.Module:
    """The untrained network."""
    if method == "mscnn":
        return mscnn.MSCNN()
    network = aodnet.AODNet()
    # K = 1 leaves the picture as it is; from K near 0 the last ReLU might never open.
    torch.nn.init.ones_(network.convolutions[4].bias)  # pyright: ignore[reportArgumentType]
    return network


def optimise(
    network: torch.nn.Module,
    pictures: Sequence[Clear],
    steps: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
    progress: bool,
) -> None:
    """Adam with a rate that falls along a cosine.

    Raises:
        UserError: the loss is not finite.
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps + 1, pct_start=0.05
    )
    average = None
    bar = tqdm(
        range(steps),
        desc="training",
        unit="step",
        disable=not progress,
        file=sys.stderr,
        mininterval=1.0,
    )
    for step in bar:
        chosen = rng.integers(len(pictures), size=batch_size)
        hazy, clear, transmission = (
            torch.stack(part).to(device)
            for part in zip(*(random_pair(pictures[i], rng) for i in chosen), strict=True)
        )
        value = loss(network, hazy, clear, transmission)
        if not bool(value.isfinite()):
            raise UserError(f"step {step}: the loss is not finite; train with another --seed")
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average = value.item() if average is None else 0.98 * average + 0.02 * value.item()
        if step % 50 == 49:
            bar.set_postfix(loss=f"{average:.5f}")


def loss(network: torch.nn.Module, hazy: Tensor, clear: Tensor, transmission: Tensor) -> Tensor:
    """AOD-Net: squared error of the clear picture. MSCNN: of both transmissions, without gradient
    between them."""
    if isinstance(network, aodnet.AODNet):
        return F.mse_loss((hazy - 1) * network(hazy) + 1, clear)
    assert isinstance(network, mscnn.MSCNN)
    balanced = hazy / mscnn.estimate_airlight(hazy)[:, :, None, None]
    half = F.avg_pool2d(transmission, 2)  # what the networks give, before the nearest upsampling
    coarse = network.coarse(balanced)
    fine = network.fine(balanced, mscnn.enlarge(coarse.detach(), hazy.shape[-2:]))
    return F.mse_loss(coarse, half) + F.mse_loss(fine, half)


@torch.no_grad()
def validate(
    network: torch.nn.Module, pairs: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> tuple[float, float]:
    """Mean PSNR [dB] of the hazy and the dehazed pictures, by the whole method as ``dehaze`` runs
    it."""
    device = next(network.parameters()).device
    hazy_psnr, psnr = [], []
    for hazy, clear, _ in pairs:
        image = hazy[None].to(device)
        if isinstance(network, aodnet.AODNet):
            dehazed = aodnet.clear(image, network(image))
        else:
            assert isinstance(network, mscnn.MSCNN)
            dehazed = mscnn.recover(image, *mscnn.estimate(network, image)[:2])
        hazy_psnr.append(-10 * F.mse_loss(hazy, clear).log10().item())
        psnr.append(-10 * F.mse_loss(dehazed[0].cpu(), clear).log10().item())
    return float(np.mean(hazy_psnr)), float(np.mean(psnr))
