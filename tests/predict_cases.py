"""Pictures, and a detector that finds the left half of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dmaskrcnn.detections import Detections


class LeftHalf:
    """Finds one car with a score of 0.75, and remembers the sizes of what it was given."""

    def __init__(
        self, score: float = 0.75, fail_at: BaseException | None = None, fail_after: int = 10**9
    ):
        self.score, self.fail_at, self.fail_after = score, fail_at, fail_after
        self.batches: list[list[tuple[int, ...]]] = []

    def predict(
        self, images: list[torch.Tensor], threshold: float = 0.5, best: bool = False
    ) -> list[Detections]:
        if len(self.batches) == self.fail_after and self.fail_at is not None:
            raise self.fail_at
        self.batches.append([tuple(image.shape) for image in images])
        assert all(image.dtype == torch.uint8 for image in images)
        least = 0.0 if best else threshold
        return [self.one(image.shape[1], image.shape[2]).above(least) for image in images]

    def one(self, height: int, width: int) -> Detections:
        half = max(1, width // 2)
        mask = torch.zeros(1, height, width, dtype=torch.bool)
        mask[:, :, :half] = True
        box = torch.tensor([[0.0, 0.0, half, height]])
        return Detections(
            box, torch.tensor([1]), torch.tensor([self.score]), mask, ("person", "car")
        )


def photo(path: Path, size: tuple[int, int] = (40, 30), colour: str = "grey", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def opened(path: Path) -> np.ndarray:
    """The picture as int ``(H, W, 3)``."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def content(out: Path) -> dict:
    return json.loads((out / "detections.json").read_text(encoding="utf-8"))


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
