"""Run detectors over a labelled data set and score them; keep the predictions, so that they can be scored again without a
model."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .data import Dataset, canonical, open_dataset
from .detections import Detections
from .detector import Detector
from .distributed import resolve_device
from .errors import UserError
from .files import check_writable, write_text
from .results import load_results, save_results
from .scoring import Scores, score
from .weights import read_description, which_weights


def evaluate(
    detector: Detector | str | Path,
    data: Dataset | str | Path | Sequence[str | Path],
    *,
    classes: Sequence[str] = (),
    batch_size: int = 4,
    bootstrap: int = 1000,
    seed: int = 0,
    results: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Scores:
    """Score a detector on labelled images.

    Args:
        detector: a detector, a run folder, or a COCO results JSON of any detector.
        data: the test set, or the path(s) to open it from.
        classes: the classes to score; by default those that both the detector and the test set know.
        batch_size: images per forward pass.
        bootstrap: resamples of the images behind the 95 % intervals.
        seed: of the resampling.
        results: write the predictions to this COCO results JSON.
        device: where a detector that is loaded here runs: ``auto``, ``cpu``, ``cuda``.
        progress: show a bar on stderr.

    Raises:
        UserError: unreadable input, a test set without labels, no class in common, or ``results`` cannot be written.
    """
    for name, value, least in (("batch-size", batch_size, 1), ("bootstrap", bootstrap, 0), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}")
    if isinstance(detector, (str, Path)) and Path(detector).suffix != ".json":
        detector = Detector.load(detector).to(resolve_device(device)).set_precision()
    known = detector.classes if isinstance(detector, Detector) else None
    if isinstance(data, Dataset):
        truth, ids = data, _category_ids(data)
    else:
        truth, ids = open_test_set(data, classes, known)
    if results is not None:
        check_writable(Path(results).parent)
    if isinstance(detector, Detector):
        found: Iterable[Detections] = predictions(detector, truth, batch_size, progress)
        if results is not None:
            save_results(results, truth.image_ids, found, ids)
            found = load_results(results, truth.image_ids, ids)
    else:
        found = load_results(detector, truth.image_ids, ids)
    return score(truth, found, bootstrap=bootstrap, seed=seed)


def open_test_set(
    data: str | Path | Sequence[str | Path], classes: Sequence[str] = (), known: Sequence[str] | None = None
) -> tuple[Dataset, dict[str, int]]:
    """A labelled data set with the ``classes`` asked for, or else those that the detector (``known``) shares with it.

    Returns:
        The data set, and the category ids of all classes in it: predictions are written and read with these, so that they do
        not depend on the classes scored.
    """
    paths = [data] if isinstance(data, (str, Path)) else list(data)
    names = None if known is None else {canonical(n) for n in known}
    if names is not None and (unknown := [c for c in classes if canonical(c) not in names]):
        raise UserError(f"--classes {unknown[0]}: the detector does not know it; it knows {', '.join(known or ())}")
    truth = open_dataset(*paths)
    if not truth.labelled:
        raise UserError(
            f"--data {paths[0]}: holds images but no labels to score against; `dmaskrcnn predict` draws without labels"
        )
    ids = _category_ids(truth)
    chosen = list(classes) or [c for c in truth.classes if names is None or c in names]
    if not chosen:
        raise UserError(
            f"--data {paths[0]}: has no class that the detector knows "
            f"({', '.join(truth.classes[:8]) or 'none at all'} against {', '.join(sorted(names or ())[:8]) or 'none'})"
        )
    return (truth if chosen == list(truth.classes) else open_dataset(*paths, classes=chosen)), ids


def classes_to_score(runs: Sequence[Path], data: Sequence[Path], classes: Sequence[str] = ()) -> tuple[str, ...]:
    """The classes asked for, or else those of the test set that every detector among ``runs`` knows: the same for all runs.

    Raises:
        UserError: before any work, for a run that is not there, or classes that a run or the test set does not know.
    """
    shared: list[str] | None = None
    for run in runs:
        if run.suffix == ".json":
            if not run.is_file():
                raise UserError(f"{run}: no such file; give a run folder or a COCO results JSON")
            continue
        known = [canonical(c) for c in read_description(run)[0]]
        if unknown := [c for c in classes if canonical(c) not in known]:
            raise UserError(f"--classes {unknown[0]}: {run} does not know it; it knows {', '.join(known)}")
        if shared is not None and not set(known) & set(shared):
            raise UserError(f"{run}: has no class in common with the runs before it: {', '.join(known)}; {', '.join(shared)}")
        shared = [c for c in known if shared is None or c in shared]
    return open_test_set(data, classes, shared)[0].classes


def predictions(detector: Detector, data: Dataset, batch_size: int = 4, progress: bool = False) -> Iterator[Detections]:
    """Detections of every image of a data set, in order; the next images are decoded while the detector runs."""
    indices = range(0, len(data), batch_size)
    bar = tqdm(total=len(data), unit="image", desc="detecting", disable=not (progress and sys.stderr.isatty()), leave=False)

    def read(start: int) -> list:
        return [data.load(i).image for i in range(start, min(start + batch_size, len(data)))]

    with bar, ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read, 0) if indices else None
        for start in indices:
            assert coming is not None
            images = coming.result()
            coming = pool.submit(read, start + batch_size)
            yield from detector.predict(images, threshold=0.0)
            bar.update(len(images))


def evaluate_to(out: Path | None, run: Path, data: Sequence[Path], **options: Any) -> Scores:
    """``evaluate`` that leaves in ``out`` (if given) ``scores.json``, and ``predictions.json`` unless ``run`` is one."""
    results = out / "predictions.json" if out and run.suffix != ".json" else None
    if out:
        check_writable(out)
    scores = evaluate(run, data, results=results, progress=True, **options)
    if out:
        which = {"scored": which_weights(run) or "predictions made before"}
        write_text(out / "scores.json", json.dumps(which | scores.to_dict(), indent=2) + "\n")
    return scores


def output_folders(runs: Sequence[Path], data: Sequence[Path], out: Path | None) -> list[Path | None]:
    """Where the files of each run go: ``evaluate-<data>`` in the run folder (nowhere for a results JSON), or ``out``.

    Several runs get a folder each in ``out``, named after the run, with the folder above it where two runs have the same name.
    """
    if out is None:
        return [None if run.suffix == ".json" else run / f"evaluate-{folder_name(data)}" for run in runs]
    if len(runs) == 1:
        return [out]
    return [out / name for name in run_names(runs)]


def run_names(runs: Sequence[Path]) -> list[str]:
    """A name for each run, no two alike: its folder's or file's, with the folder above it where two have the same."""
    paths = [run.resolve().with_suffix("") if run.suffix == ".json" else run.resolve() for run in runs]
    names = [path.name for path in paths]
    names = [f"{path.parent.name}-{name}" if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]


def folder_name(data: Sequence[Path]) -> str:
    """A short name for a test set: the last two parts of its path."""
    paths = (path.resolve() for path in data)
    parts = [p for path in paths for p in (path.with_suffix("") if path.suffix == ".json" else path).parts[1:][-2:]]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip("-.") or "data"


def _category_ids(data: Dataset) -> dict[str, int]:
    return dict(zip(data.classes, data.category_ids, strict=True))
