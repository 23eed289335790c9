"""The log of a training, ``metrics.csv``, as numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import read_bytes


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``, empty fields left out. Raises UserError for a file that is
    missing or not such a one."""
    try:
        rows = [
            {k: float(v) for k, v in row.items() if k != "phase" and v} for row in csv_rows(path)
        ]
        if not all(math.isfinite(value) for row in rows for value in row.values()):
            raise ValueError("holds numbers that are not finite")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: not a readable metrics.csv ({first_line(error)}); name the folder of a "
            "training run"
        ) from error
    if any("iteration" not in row for row in rows):
        raise UserError(f"{path}: has rows without an iteration; name the folder of a training run")
    return rows


def csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV as they stand there. Raises what `read_bytes`, decoding and csv raise."""
    return csv.DictReader(io.StringIO(read_bytes(path).decode(), newline=""))
