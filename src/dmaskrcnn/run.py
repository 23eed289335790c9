"""A run on disk: where it lies, what it is called, and which weights it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from dmaskrcnn.config.methods import MethodSettings, find_methods
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import write_text


def output_folders(
    runs: Sequence[Path], data: Sequence[Path], out: Path | None
) -> list[Path | None]:
    """Where the files of each run go: ``evaluate-<data>`` in the run folder (nowhere for a results
    JSON), or ``out``.

    Several runs get a folder each in ``out``, named after the run, with the folder above it where
    two runs have the same name.
    """
    if out is None:
        return [
            None if run.suffix == ".json" else run / f"evaluate-{folder_name(data)}" for run in runs
        ]
    if len(runs) == 1:
        return [out]
    return [out / name for name in run_names(runs)]


def run_names(runs: Sequence[Path]) -> list[str]:
    """A name for each run, no two alike: its folder's or file's, with the folder above it where two
    have the same."""
    paths = [
        run.resolve().with_suffix("") if run.suffix == ".json" else run.resolve() for run in runs
    ]
    names = [path.name for path in paths]
    names = [
        f"{path.parent.name}-{name}" if names.count(name) > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]


def folder_name(data: Sequence[Path]) -> str:
    """A short name for a test set: the last two parts of its path."""
    paths = (path.resolve() for path in data)
    parts = [
        p
        for path in paths
        for p in (path.with_suffix("") if path.suffix == ".json" else path).parts[1:][-2:]
    ]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip("-.") or "data"


def create_run_folder(config: TrainConfig) -> Path:
    """Make OUT/NAME-N with the first N that is free, holding ``config.yaml``. Raises UserError
    where OUT cannot be written to."""
    name = config.name or config.method
    if Path(name).name != name:
        raise UserError(
            f"--name {name!r} must be a plain name without slashes; choose the folder with --out"
        )
    folder = create_numbered_folder(config.out, name)
    write_text(folder / "config.yaml", yaml.safe_dump(config.to_dict(), sort_keys=False))
    return folder


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


def which_weights(run: Path) -> str:
    """Which of a training's weights a run folder holds, in words: averaged or the last, the
    teacher's or not, from when.

    Empty where there is no ``model.json`` that says so, as of predictions that were made elsewhere.
    """
    try:
        model = json.loads((run / "model.json").read_text(encoding="utf-8"))
        kind = {"ema": "averaged weights (EMA)", "last": "weights of the last iteration"}[
            model["weights"]
        ]
        known = find_methods().get(model["method"], MethodSettings)
        owner = f"{known.average}: " if known.average and model["weights"] == "ema" else ""
        return f"{owner}{kind}, iteration {model['iteration']:,}" + (
            "" if model["finished"] else ", training not finished"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""
