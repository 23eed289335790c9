"""``metrics.csv``: named numbers of a training, written row by row (`dmaskrcnn.run` reads them)."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.extras import install_command
from dmaskrcnn.files import write_text
from dmaskrcnn.metrics_csv import csv_rows


class Window:
    """Named numbers since the last row, whose means become the next one.

    Not every iteration has every number: a frozen detector has no losses.

    Attributes:
        sums: sum and count per name.
    """

    def __init__(self, sums: dict[str, list[float]] | None = None) -> None:
        self.sums = sums or {}

    def add(self, values: Mapping[str, float]) -> None:
        """Take note of one iteration."""
        for key, value in values.items():
            total, count = self.sums.get(key, [0.0, 0])
            self.sums[key] = [total + value, count + 1]

    def empty(self) -> dict[str, float]:
        """The means, and begin anew."""
        means = {key: total / count for key, (total, count) in self.sums.items()}
        self.sums = {}
        return means


class Metrics:
    """``metrics.csv``: rows of named numbers. A new column starts empty in the rows before it.

    Args:
        path: the file.
        keep_until: on resume, rows of this iteration and later are dropped: they will be made
            again.
        tensorboard: also write TensorBoard events beside it.
    """

    def __init__(self, path: Path, keep_until: int = 0, tensorboard: bool = False) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            try:
                number = re.compile("[0-9]{1,18}")
                rows = [r for r in csv_rows(path) if number.fullmatch(r.get("iteration") or "")]
            except (OSError, ValueError, csv.Error) as error:
                raise UserError(
                    f"{path}: cannot be read ({first_line(error)}); move it away to "
                    "go on without it"
                ) from error
            # A row that was cut short by a kill has empty (None) fields at its end.
            self.rows = [
                r
                for r in rows
                if int(r["iteration"]) <= keep_until and None not in r.values() and None not in r
            ]
        self.columns = list(self.rows[0]) if self.rows else []
        self._rewrite()
        self.events = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UserError(
                    f"--tensorboard: not installed; run: {install_command('tensorboard')}"
                ) from error
            self.events = SummaryWriter(str(path.parent / "tensorboard"), purge_step=keep_until)

    def write(self, row: dict[str, Any]) -> None:
        """Append one row (it has ``iteration``)."""
        values = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        self.rows.append(values)
        if new := [k for k in row if k not in self.columns]:
            self.columns += new
            self._rewrite()
        else:
            line = io.StringIO()
            csv.DictWriter(line, self.columns, restval="", lineterminator="\n").writerow(values)
            self._append(line.getvalue().encode())
        if self.events:
            for key, value in row.items():
                if isinstance(value, float):
                    self.events.add_scalar(key, value, int(row["iteration"]))

    def close(self) -> None:
        """Flush the TensorBoard events."""
        if self.events:
            self.events.close()

    def _append(self, line: bytes) -> None:
        """All of the line or nothing."""
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())  # 10 ms, every 20 iterations
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, before)
            raise UserError(
                f"{self.path}: cannot be written ({error.strerror}); free some space, "
                "then use --resume"
            ) from error

    def _rewrite(self) -> None:
        if not self.columns:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
