"""A run on disk: what was trained and how, which weights it holds, and its detector.

Everything else asks `Run` for what stands in a run folder's ``config.yaml``, ``model.json`` and
``metrics.csv``. Predictions that were made elsewhere, a COCO results JSON, are a run as well
(`ResultsFile`): one that can be scored, but was not trained here.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from dmaskrcnn.config.methods import MethodSettings, find_methods
from dmaskrcnn.config.train import STARTS, TrainConfig, read_yaml
from dmaskrcnn.data.splits import without_size, without_split
from dmaskrcnn.detector.torchvision_import import import_torchvision
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import alone_in, file_digest, read_bytes, read_json, write_text
from dmaskrcnn.metrics_csv import read_metrics
from dmaskrcnn.output_folder import create_numbered_folder
from dmaskrcnn.runtime.description import INDEX, is_export, read_export
from dmaskrcnn.runtime.exported import ExportedDetector, load

if TYPE_CHECKING:  # seconds that predictions made before do not wait for
    from dmaskrcnn.detector.detector import Detector

# What a detector learns does not depend on these, or (the seed) only by chance.
NO_MATTER = (
    *("seed", "name", "out", "test", "images", "groups", "device", "workers"),
    *("checkpoint_minutes", "tensorboard", "max_pixels"),
)
MOST_STARTS = 9  # runs that started from runs are followed so far back


def open_run(path: str | Path) -> Run:
    """The run at this path, which need not exist: a `ResultsFile` for ``.json`` and ``.json:coco``
    (see `dmaskrcnn.evaluation.results_files`), an `ExportedRun` for a folder of `dmaskrcnn export`.
    ``RUN@480`` is that run with pictures read at 480 px."""
    path = Path(path)
    if without_split(path)[0].suffix == ".json":
        return ResultsFile(path)
    folder, size = without_size(path)
    return ExportedRun(folder, size) if is_export(folder) else Run(folder, size)


@dataclass(frozen=True)
class Run:
    """A run folder. Nothing is read before it is asked for, and nothing is remembered.

    Attributes:
        path: the folder.
        image_size: short side of the network's input in pixels, where it predicts; 0: as it was
            trained.
    """

    path: Path
    image_size: int = 0
    is_results: ClassVar[bool] = False
    has_features: ClassVar[bool] = True  # a detector shows the maps inside it; a graph does not

    @classmethod
    def create(cls, config: TrainConfig) -> Run:
        """Make OUT/NAME-N with the first N that is free, holding ``config.yaml``. Raises UserError
        where OUT cannot be written to."""
        folder = create_numbered_folder(config.out, config.name or config.method)
        values = config.absolute().to_dict()
        write_text(folder / "config.yaml", yaml.safe_dump(values, sort_keys=False))
        return cls(folder)

    def __str__(self) -> str:
        return str(self.address)

    @property
    def address(self) -> Path:
        """What `open_run` takes for this run."""
        return Path(f"{self.path}@{self.image_size}") if self.image_size else self.path

    def training(self) -> AbstractContextManager[None]:
        """Keep other processes from training in the folder. Raises UserError where one does."""
        return alone_in(
            self.path,
            f"{self.path}: another process is training there; wait for it, or stop it first",
        )

    @property
    def name(self) -> str:
        """The name of the folder, with the size, or of the file without ``.json``."""
        return self.path.resolve().name + (f"@{self.image_size}" if self.image_size else "")

    @property
    def config(self) -> dict[str, Any]:
        """The fields of ``config.yaml`` as `TrainConfig.to_dict` gives them, those that its version
        did not know filled in. Empty where there is none. Raises UserError for a file that cannot
        be read."""
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
        values = values | {"size": self.image_size}
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
        import_torchvision()
        from dmaskrcnn.detector.weights import read_description

        return read_description(self.path)[0]

    @property
    def weights_said(self) -> str:
        """Which of a training's weights are saved, in words: averaged or the last, the teacher's or
        not, from when. Empty where there is no ``model.json`` that says so."""
        model = self._description
        try:
            kind = {"ema": "averaged weights (EMA)", "last": "weights of the last iteration"}[
                model["weights"]
            ]
            method = find_methods().get(model["method"], MethodSettings)
            owner = f"{method.average}: " if method.average and model["weights"] == "ema" else ""
            size = f", read at {self.image_size} px" if self.image_size else ""
            return f"{owner}{kind}, iteration {model['iteration']:,}{size}" + (
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
    def files(self) -> list[Path]:
        """What the detector is made of: weights and ``model.json``."""
        return [self.path / name for name in ("model.safetensors", "model.json")]

    @property
    def digests(self) -> list[str]:
        """Of these and the size: they tell detectors apart. Raises UserError for a missing file."""
        return [*map(file_digest, self.files), f"{self.image_size} px"]

    def check_trained(self) -> None:
        """Raises UserError where the path is no folder of a training with weights."""
        if self.is_results or not self.has_detector:
            raise UserError(f"{self}: holds no model.safetensors; name the folder of a training")

    def detector(self, device: str = "auto") -> Detector | ExportedDetector:
        """The detector, ready to predict in the precision that is fastest on ``device``.

        Raises UserError as `Detector.load`, and for a device that this machine lacks."""
        import_torchvision()
        from dmaskrcnn.detector.detector import Detector

        return Detector.load(self.path, device, image_size=self.image_size)

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
    """Predictions that are there already: the path is a COCO results JSON of any detector."""

    is_results = True

    @property
    def name(self) -> str:
        """The name of the file, without ``.json``."""
        return without_split(self.path)[0].resolve().stem

    @property
    def classes(self) -> tuple[str, ...]:
        """None are known before the file is read."""
        return ()


class ExportedRun(Run):
    """A folder that `dmaskrcnn export` wrote."""

    has_features = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the detector knows. Raises UserError as `read_export`."""
        return read_export(self.path).classes

    @property
    def weights_said(self) -> str:
        """Which weights were exported, and how. Raises UserError as `read_export`."""
        said = read_export(self.path)
        runtime = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}[said.runtime]
        return f"{runtime}, {said.precision}, of {said.made_of}"

    @property
    def has_detector(self) -> bool:
        """Always."""
        return True

    @property
    def files(self) -> list[Path]:
        """The model and ``model.json``. Raises UserError as `read_export`."""
        return [self.path / name for name in (*read_export(self.path).digests, INDEX)]

    def detector(self, device: str = "auto") -> ExportedDetector:
        """The detector, on the CPU whatever the device. Raises UserError as `load`."""
        return load(self.path, image_size=self.image_size)

    def check_trained(self) -> None:
        """Raises UserError: there is nothing to train or export any more."""
        raise UserError(f"{self}: was exported already; name the run folder it was made of")


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run, no two alike: its own, with the folder above it where two have the
    same."""
    names = [run.name for run in runs]
    names = [
        f"{run.path.resolve().parent.name}-{name}" if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]
