"""Exports of untrained detectors, for the tests of what writes and of what runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detector_cases import TINY

from dmaskrcnn import Detector
from dmaskrcnn.export.write import export_detector
from dmaskrcnn.run import Run

CLASSES = ("car", "person", "bus")


def needed(*names: str) -> None:
    """Skip where an optional package is not installed."""
    for name in names:
        pytest.importorskip(name, reason="needs dmaskrcnn[export]")


def save_untrained(folder: Path, seed: int = 0) -> Path:
    """A run folder with weights of a seed; it finds something everywhere."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    Detector(CLASSES, TINY).save(folder)
    return folder


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """uint8 ``(3, height, width)``: smooth noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, 6, 6, generator=generator)
    large = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")
    return (large[0].clamp(0, 1) * 255).to(torch.uint8)


def pixels(height: int, width: int, seed: int = 0):
    return picture(height, width, seed).permute(1, 2, 0).contiguous().numpy()


def exported(run: Path, out: Path, runtime: str = "onnx", **options) -> Path:
    pictures = [pixels(64, 96), pixels(150, 90, 1)]
    said: list[str] = []
    export_detector(Run(run), out, pictures, runtime=runtime, say=said.append, **options)  # pyright: ignore[reportArgumentType]
    assert said
    return out
