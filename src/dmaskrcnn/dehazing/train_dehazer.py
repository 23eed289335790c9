"""Trains MSCNN or AOD-Net in minutes on clear pictures behind synthetic haze.

dmaskrcnn train-dehazer --method aod-net --out my-aod-net.safetensors
dmaskrcnn train-dehazer --method mscnn --clear photos/ --out my-mscnn.safetensors --steps 20     # a
tiny run
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from dmaskrcnn.config.dehazers import NETWORKS
from dmaskrcnn.dehazing.dehazer import METHODS
from dmaskrcnn.dehazing.method import DehazingNetwork
from dmaskrcnn.dehazing.pretrained import save_weights
from dmaskrcnn.dehazing.synthesis import Clear, random_pair
from dmaskrcnn.errors import UserError
from dmaskrcnn.output_folder import check_marked, not_ours

LEARNING_RATE = 2e-3  # Adam's, falling along a cosine
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
    pictures: Iterable[Clear],
    steps: int = 3000,
    batch_size: int = 4,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    command: str = "",
) -> TrainedDehazer:
    """Train a dehazing network and write its weights, with a JSON beside them that says how they
    were made.

    Args:
        method: "mscnn" or "aod-net".
        out: the ``.safetensors`` to write.
        pictures: clear ones, asked for once the other arguments are known to be right; where the
            depth is unknown, a transmission is invented (see ``synthesis``).
        steps: optimiser steps; 3000 take three to eight minutes on one core.
        batch_size: pictures of 160 by 224 pixels per step.
        seed: of haze and initial weights.
        device: where to train.
        progress: show progress on stderr.
        command: what to note as the command that repeats this.

    Raises:
        UserError: for a method that cannot be trained, too few pictures, and divergence.
    """
    if method not in NETWORKS:
        raise UserError(f"method: {method!r} cannot be trained; choose from {', '.join(NETWORKS)}")
    if steps < 1 or batch_size < 1:
        raise UserError("steps and batch_size must be at least 1")
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the weights are written as .safetensors; name such a file")
    # before the work, not after it: what others have written is not overwritten
    check_marked(out.with_suffix(".json"), "train-dehazer", r'\{\n  "method": "')
    if os.path.lexists(out) and not out.with_suffix(".json").exists():
        raise not_ours(out, "train-dehazer")
    start = time.monotonic()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures = list(pictures)
    if len(pictures) < 5:
        raise UserError(
            f"clear, scenes: {len(pictures)} pictures are too few to train on; give more"
        )
    pictures = [pictures[i] for i in rng.permutation(len(pictures))]
    kept_out = min(VALIDATION, len(pictures) // 5)
    validation = [random_pair(picture, rng) for picture in pictures[:kept_out]]
    network = METHODS[method]().to(device)
    assert isinstance(network, DehazingNetwork)
    optimise(network, pictures[kept_out:], steps, batch_size, LEARNING_RATE, rng, progress)
    hazy_psnr, score = validate(network, validation)
    result = TrainedDehazer(out, hazy_psnr, score, time.monotonic() - start)
    scenes = sum(picture.depth is not None for picture in pictures)
    description = {
        "method": method,
        "command": command,
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


def optimise(
    network: DehazingNetwork,
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
        value = network.loss(hazy, clear, transmission)
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


@torch.no_grad()
def validate(
    network: DehazingNetwork, pairs: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> tuple[float, float]:
    """Mean PSNR [dB] of the hazy and the dehazed pictures, by the whole method as ``dehaze`` runs
    it."""
    device = next(network.parameters()).device
    hazy_psnr, psnr = [], []
    for hazy, clear, _ in pairs:
        dehazed = network.estimate(hazy[None].to(device)).clear[0].cpu()
        hazy_psnr.append(-10 * F.mse_loss(hazy, clear).log10().item())
        psnr.append(-10 * F.mse_loss(dehazed, clear).log10().item())
    return float(np.mean(hazy_psnr)), float(np.mean(psnr))
