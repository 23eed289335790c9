"""The folder a training run leaves behind, and how it is read back.

``config.yaml`` the whole configuration; ``metrics.csv`` one row per 20 iterations; ``model.safetensors`` + ``model.json`` the
detector (all that ``Detector.load`` needs); ``last.pt`` the full state for ``--resume``; ``curves.png``;
``pictures.jpg``, what the detector finds in a few target images.
"""

from __future__ import annotations

import csv
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml

from .config import TrainConfig
from .errors import UserError, first_line
from .files import atomic_write, write_text

CHECKPOINT_FIELDS = {
    "config", "data", "iteration", "detector_steps", "restarted", "seconds", "window", "watch", "model", "ema", "optimizer",
}  # fmt: skip


def create_run_folder(config: TrainConfig) -> Path:
    """Make OUT/NAME-N with the first N that is free, holding ``config.yaml``. Raises UserError where OUT cannot be written
    to."""
    name = config.name or config.method
    if Path(name).name != name:
        raise UserError(f"--name {name!r} must be a plain name without slashes; choose the folder with --out")
    folder = create_numbered_folder(config.out, name)
    write_text(folder / "config.yaml", yaml.safe_dump(config.to_dict(), sort_keys=False))
    return folder


def create_numbered_folder(out: Path, name: str) -> Path:
    """Make OUT/NAME-N with the first N that is free. Raises UserError where OUT cannot be written to."""
    number = 1
    while True:
        folder = out / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not out.is_dir():
                raise UserError(f"--out {out}: is a file; choose a folder") from None
            number += 1
        except OSError as error:
            raise UserError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``last.pt`` atomically: tensors and plain values only, so that it loads with ``weights_only=True``."""
    atomic_write(folder / "last.pt", lambda path: torch.save(state, path))


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` wrote. Raises UserError when there is none or it is damaged; never unpickles code."""
    path = folder / "last.pt"
    if not folder.is_dir():
        raise UserError(f"--resume {folder}: no such run folder")
    if not path.is_file():
        raise UserError(f"--resume {folder}: holds no last.pt; the run ended before its first checkpoint, start it again")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = CHECKPOINT_FIELDS - set(state)
    except Exception as error:  # pickle, zip and torch each raise their own
        raise UserError(f"{path}: damaged or not a checkpoint ({first_line(error)}); start the run again") from error
    if missing:
        raise UserError(f"{path}: not a checkpoint of this program ({sorted(missing)[0]} is missing); start the run again")
    return state


class Metrics:
    """``metrics.csv``: rows of named numbers. A new column starts empty in the rows before it.

    Args:
        path: the file.
        keep_until: on resume, rows of this iteration and later are dropped: they will be made again.
        tensorboard: also write TensorBoard events beside it.
    """

    def __init__(self, path: Path, keep_until: int = 0, tensorboard: bool = False) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            try:
                with path.open(newline="", encoding="utf-8") as file:
                    rows = [r for r in csv.DictReader(file) if (r.get("iteration") or "").isdigit()]
            except (OSError, ValueError, csv.Error) as error:
                raise UserError(f"{path}: cannot be read ({first_line(error)}); move it away to go on without it") from error
            # A row that was cut short by a kill has empty (None) fields at its end.
            self.rows = [r for r in rows if int(r["iteration"]) <= keep_until and None not in r.values() and None not in r]
        self.columns = list(self.rows[0]) if self.rows else []
        self._rewrite()
        self.events = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UserError("--tensorboard: not installed; run: pip install 'dmaskrcnn[tensorboard]'") from error
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
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, before)
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); free some space, then use --resume") from error

    def _rewrite(self) -> None:
        if not self.columns:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
