"""A run on disk: what was trained and how, which weights it holds, and its detector.

Everything else asks `Run` for what stands in a run folder's ``config.yaml``, ``model.json`` and
``metrics.csv``. Predictions that were made elsewhere, a COCO results JSON, are a run as well
(`ResultsFile`): one that can be scored, but was not trained here.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from dmaskrcnn.config.methods import MethodSettings, find_methods
from dmaskrcnn.config.train import STARTS, TrainConfig, read_yaml
from dmaskrcnn.data.splits import without_split
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.weights import read_description
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import alone_in, file_digest, read_bytes, read_json, write_text

# What a detector learns does not depend on these, or (the seed) only by chance.
NO_MATTER = (
    "seed",
    "name",
    "out",
    "test",
    "images",
    "groups",
    "device",
    "workers",
    "checkpoint_minutes",
    "tensorboard",
    "max_pixels",
)
MOST_STARTS = 9  # runs that started from runs are followed so far back


def open_run(path: str | Path) -> Run:
    """The run at this path, which need not exist: a `ResultsFile` where it ends in ``.json``, or
    ``.json:coco`` (see `dmaskrcnn.evaluation.results_files`)."""
    path = Path(path)
    return ResultsFile(path) if without_split(path)[0].suffix == ".json" else Run(path)


@dataclass(frozen=True)
class Run:
    """A run folder. Nothing is read before it is asked for, and nothing is remembered.

    Attributes:
        path: the folder.
    """

    path: Path
    is_results: ClassVar[bool] = False

    @classmethod
    def create(cls, config: TrainConfig) -> Run:
        """Make OUT/NAME-N with the first N that is free, holding ``config.yaml``. Raises UserError
        where OUT cannot be written to."""
        name = config.name or config.method
        if Path(name).name != name:
            raise UserError(
                f"--name {name!r} must be a plain name without slashes; choose the folder with "
                "--out"
            )
        folder = create_numbered_folder(config.out, name)
        values = config.absolute().to_dict()
        write_text(folder / "config.yaml", yaml.safe_dump(values, sort_keys=False))
        return cls(folder)

    def __str__(self) -> str:
        return str(self.path)

    def training(self) -> AbstractContextManager[None]:
        """Keep other processes from training in the folder. Raises UserError where one does."""
        return alone_in(
            self.path,
            f"{self.path}: another process is training there; wait for it, or stop it first",
        )

    @property
    def name(self) -> str:
        """The name of the folder, or of the file without ``.json``."""
        return self.path.resolve().name

    @property
    def config(self) -> dict[str, Any]:
        """The fields of ``config.yaml`` as `TrainConfig.to_dict` gives them, those that its version
        did not know filled in. Empty where there is none.

        Raises:
            UserError: a file that cannot be read.
        """
        file = self.path / "config.yaml"
        if not os.path.isfile(file):
            return {}
        values = read_yaml(file)
        with suppress(UserError, TypeError):  # of a later version: as it stands there
            return TrainConfig.from_dict(values).to_dict()
        return values

    @property
    def config_text(self) -> str:
        """``config.yaml`` as it stands there; empty where there is none."""
        try:
            return read_bytes(self.path / "config.yaml").decode(errors="replace")
        except OSError:
            return ""

    @property
    def seedless(self) -> str:
        """What the weights come from, but for the seed: equal for the runs of one method. Empty
        where no training of ours is known."""
        return self._seedless(MOST_STARTS)

    def _seedless(self, depth: int) -> str:
        values = self.config
        if not values:
            return ""
        kept = {name: value for name, value in values.items() if name not in NO_MATTER}
        start = kept.get("weights")
        if start not in STARTS and depth:
            before = ""
            with suppress(UserError):
                before = Run(Path(str(start)))._seedless(depth - 1)
            kept["weights"] = before or "a file"
        return json.dumps(kept, sort_keys=True, default=str)

    @property
    def is_logged(self) -> bool:
        """Whether there is a ``metrics.csv``; with ``--iterations 0`` there is none."""
        return os.path.isfile(self._log)

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv``; none where nothing was trained. Raises UserError for a
        damaged file."""
        return read_metrics(self._log) if self.is_logged else []

    @property
    def last_logged(self) -> datetime.datetime:
        """When the last row was written, in local time."""
        return datetime.datetime.fromtimestamp(self._log.stat().st_mtime).astimezone()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the detector knows; of predictions, none. Raises UserError for a
        ``model.json`` that is missing or damaged."""
        return read_description(self.path)[0]

    @property
    def weights_said(self) -> str:
        """Which of a training's weights are saved, in words: averaged or the last, the teacher's or
        not, from when.

        Empty where there is no ``model.json`` that says so, as of predictions that were made
        elsewhere.
        """
        model = self._description
        try:
            kind = {"ema": "averaged weights (EMA)", "last": "weights of the last iteration"}[
                model["weights"]
            ]
            method = find_methods().get(model["method"], MethodSettings)
            owner = f"{method.average}: " if method.average and model["weights"] == "ema" else ""
            return f"{owner}{kind}, iteration {model['iteration']:,}" + (
                "" if model["finished"] else ", training not finished"
            )
        except (ValueError, KeyError, TypeError):
            return ""

    @property
    def finished(self) -> bool:
        """Whether the training has reached its end."""
        return bool(self._description.get("finished"))

    @property
    def has_description(self) -> bool:
        """Whether there is a ``model.json``."""
        return os.path.isfile(self.path / "model.json")

    @property
    def has_detector(self) -> bool:
        """Whether weights are saved."""
        return os.path.isfile(self.path / "model.safetensors")

    @property
    def digests(self) -> list[str]:
        """Of weights and ``model.json``: they tell detectors apart. Raises UserError for a missing
        file."""
        return [file_digest(self.path / name) for name in ("model.safetensors", "model.json")]

    def detector(self, device: str = "auto") -> Detector:
        """The detector, ready to predict in the precision that is fastest on ``device``.

        Raises:
            UserError: see `Detector.load`, and a device that this machine lacks.
        """
        return Detector.load(self.path, device)

    @property
    def _log(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def _description(self) -> dict[str, Any]:
        """All of ``model.json``; empty where it is missing or damaged."""
        try:
            model = read_json(self.path / "model.json")
        except (OSError, ValueError):
            return {}
        return model if isinstance(model, dict) else {}


class ResultsFile(Run):
    """Predictions that are there already: a COCO results JSON of any detector.

    Attributes:
        path: the file.
    """

    is_results = True

    @property
    def name(self) -> str:
        """The name of the file, without ``.json``."""
        return without_split(self.path)[0].resolve().stem

    @property
    def classes(self) -> tuple[str, ...]:
        """None are known before the file is read."""
        return ()


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


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run, no two alike: its own, with the folder above it where two have the
    same."""
    names = [run.name for run in runs]
    names = [
        f"{run.path.resolve().parent.name}-{name}" if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]


def create_numbered_folder(out: Path, name: str) -> Path:
    """Make OUT/NAME-N with the first N that is free. Raises UserError where OUT cannot be written
    to."""
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
            raise UserError(
                f"--out {out}: cannot be written ({error.strerror}); choose another folder"
            ) from error
