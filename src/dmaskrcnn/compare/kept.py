"""Predictions of a comparison that are kept, and found again while they are still true."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import predictions
from dmaskrcnn.evaluation.results_json import save_results
from dmaskrcnn.files import file_digest, write_text
from dmaskrcnn.images.dehazed_set import Dehazed
from dmaskrcnn.run import Run

FORMAT = "dmaskrcnn predictions 1"
BATCH = 4  # images per forward pass


def detect(
    run: Run, pictures: Dehazed, ids: Mapping[str, int], device: torch.device, file: Path
) -> list[float]:
    """Write the predictions of a run unless they are there; the seconds that each image took."""
    note = file.with_suffix(".made.json")
    inputs = [*run.digests, pictures.key]
    key = hashlib.sha256(
        repr((FORMAT, inputs, pictures.data.image_ids, dict(ids), device.type)).encode()
    ).hexdigest()
    made = _read_note(note)
    if made.get("key") == key and file.is_file() and file_digest(file) == made.get("file"):
        return made["seconds"]
    if file.exists() and not made:
        raise UserError(
            f"{file}: exists and was not written by `dmaskrcnn compare`; choose another --out"
        )
    detector = run.detector(str(device))
    # from here on the file beside it is ours, and unfinished
    write_text(note, json.dumps({"format": FORMAT, "seconds": []}))
    seconds: list[float] = []
    found = _timed(predictions(detector, pictures.data, BATCH, progress=True), seconds)
    save_results(file, pictures.data.image_ids, found, ids)
    write_text(
        note,
        json.dumps({"format": FORMAT, "key": key, "file": file_digest(file), "seconds": seconds})
        + "\n",
    )
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


def _read_note(path: Path) -> dict[str, Any]:
    """What was noted beside predictions; empty where there is nothing of ours."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return note if note["format"] == FORMAT and isinstance(note["seconds"], list) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
