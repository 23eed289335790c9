"""Run detectors over a labelled data set and score them; keep the predictions, so that they can be scored again without a
model."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from .data import Dataset, canonical, open_dataset
from .detections import Detections
from .detector import Detector
from .errors import UserError
from .files import write_text
from .results import load_results, save_results
from .scoring import Scores, score
from .weights import read_description


def evaluate(
    detector: Detector | str | Path,
    data: Dataset | str | Path | Sequence[str | Path],
    *,
    classes: Sequence[str] = (),
    batch_size: int = 4,
    bootstrap: int = 1000,
    seed: int = 0,
    results: str | Path | None = None,
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
        progress: show a bar on stderr.

    Raises:
        UserError: unreadable input, a test set without labels, or no class in common.
    """
    if isinstance(detector, (str, Path)) and Path(detector).suffix != ".json":
        detector = Detector.load(detector).set_precision()
    known = detector.classes if isinstance(detector, Detector) else None
    truth = data if isinstance(data, Dataset) else open_test_set(data, classes, known)
    if isinstance(detector, Detector):
        found: Iterable[Detections] = predictions(detector, truth, batch_size, progress)
        if results is not None:
            save_results(results, truth.image_ids, found, _category_ids(truth))
            found = load_results(results, truth.image_ids, _category_ids(truth))
    else:
        found = load_results(detector, truth.image_ids, _category_ids(truth))
    return score(truth, found, bootstrap=bootstrap, seed=seed)


def open_test_set(
    data: str | Path | Sequence[str | Path], classes: Sequence[str] = (), known: Sequence[str] | None = None
) -> Dataset:
    """A labelled data set with the ``classes`` asked for, or else those that the detector (``known``) shares with it."""
    paths = [data] if isinstance(data, (str, Path)) else list(data)
    if known is not None:
        names = {canonical(n) for n in known}
        if unknown := [c for c in classes if canonical(c) not in names]:
            raise UserError(f"--classes {unknown[0]}: the detector does not know it; it knows {', '.join(known)}")
    truth = open_dataset(*paths, classes=classes or None)
    if not truth.labelled:
        raise UserError(
            f"--data {paths[0]}: holds images but no labels to score against; `dmaskrcnn predict` draws without labels"
        )
    if known is not None and not classes:
        names = {canonical(n) for n in known}
        shared = [c for c in truth.classes if canonical(c) in names]
        if not shared:
            raise UserError(
                f"--data {paths[0]}: has no class that the detector knows "
                f"({', '.join(truth.classes[:8])} against {', '.join(known[:8])})"
            )
        if len(shared) < len(truth.classes):
            truth = open_dataset(*paths, classes=shared)
    return truth


def shared_classes(runs: Sequence[Path], data: Sequence[Path]) -> tuple[str, ...]:
    """The classes of the test set that every detector among ``runs`` knows, so that all are scored on the same objects."""
    shared: tuple[str, ...] = ()
    for run in runs:
        if run.suffix != ".json":
            known = read_description(run)[0]
            shared = open_test_set(data, (), [c for c in known if not shared or c in shared]).classes
    return shared


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


def evaluate_to(
    run: Path, data: Sequence[Path], out: Path, *, classes: Sequence[str], batch_size: int, bootstrap: int, seed: int
) -> Scores:
    """``evaluate`` that leaves ``predictions.json`` (not for a results JSON, which is one already) and ``scores.json`` in
    ``out``."""
    results = None if run.suffix == ".json" else out / "predictions.json"
    scores = evaluate(
        run, data, classes=classes, batch_size=batch_size, bootstrap=bootstrap, seed=seed, results=results, progress=True
    )
    write_text(out / "scores.json", json.dumps(scores.to_dict(), indent=2) + "\n")
    return scores


def folder_name(data: Sequence[Path]) -> str:
    """A short name for a test set: the last two parts of its path."""
    parts = [p for path in data for p in path.with_suffix("").parts[-2:]]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip("-.") or "data"


def _category_ids(data: Dataset) -> dict[str, int]:
    return dict(zip(data.classes, data.category_ids, strict=True))
