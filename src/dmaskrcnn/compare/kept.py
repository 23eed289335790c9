"""Predictions of a comparison that are kept, and found again while they are still true."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.detections import Detections
from dmaskrcnn.device import resolve_device
from dmaskrcnn.evaluation.evaluate import MIN_SCORE, has_masks, predictions
from dmaskrcnn.evaluation.results_json import save_results
from dmaskrcnn.files import file_digest
from dmaskrcnn.images.dehazed_set import Dehazed
from dmaskrcnn.output_folder import OutputFolder
from dmaskrcnn.run import Run

if TYPE_CHECKING:
    import torch

    from dmaskrcnn.dehazing import Dehazer

BATCH = 4  # images per forward pass


def open_dehazers(
    methods: Iterable[str], weights: Mapping[str, Path | None], device: str
) -> dict[str, Dehazer]:
    """A dehazer for each of the methods; errors as of `Dehazer`."""
    from dmaskrcnn.dehazing import Dehazer

    chosen = resolve_device(device)
    return {
        name: Dehazer(name, weights.get(DEHAZERS[name].network or ""), chosen) for name in methods
    }


def detect(
    run: Run, pictures: Dehazed, ids: Mapping[str, int], device: torch.device, file: Path
) -> list[float]:
    """Write the predictions of a run unless they are there; the seconds that each image took."""
    output = OutputFolder(file.parent, "compare", f"{file.stem}.made.json")
    output.claim([Path(file.name)], rename=False)
    made = output.content
    inputs = [*run.digests, pictures.key, MIN_SCORE, has_masks(pictures.data)]
    key = hashlib.sha256(
        repr((inputs, pictures.data.image_ids, dict(ids), device.type)).encode()
    ).hexdigest()
    taken = made.get("seconds")
    known = isinstance(taken, list) and all(isinstance(value, float) for value in taken)
    if (
        known
        and made.get("key") == key
        and file.is_file()
        and file_digest(file) == made.get("file")
    ):
        return made["seconds"]
    detector = run.detector(str(device))
    output.begin({})
    seconds: list[float] = []
    found = _timed(predictions(detector, pictures.data, BATCH, progress=True), seconds)
    save_results(file, pictures.data.image_ids, found, ids)
    output.wrote(file)
    output.end({"key": key, "file": file_digest(file), "seconds": seconds})
    return seconds


def _timed(found: Iterator[Detections], seconds: list[float]) -> Iterator[Detections]:
    """The detections; ``seconds`` receives each image's share of the time of its batch, without
    what is done with the result."""
    while True:
        began = time.perf_counter()
        batch = [one for _, one in zip(range(BATCH), found, strict=False)]
        if not batch:
            return
        seconds += [round((time.perf_counter() - began) / len(batch), 6)] * len(batch)
        yield from batch
