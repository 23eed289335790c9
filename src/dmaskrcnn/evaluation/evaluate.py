"""Run detectors over a labelled data set and score them; keep the predictions, so that they can be
scored again without a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dmaskrcnn.data import Dataset
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import load_results, save_results
from dmaskrcnn.evaluation.score import Scores, score
from dmaskrcnn.evaluation.test_set import category_ids_by_name, open_test_set
from dmaskrcnn.files import check_writable, write_text
from dmaskrcnn.run import which_weights


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
        classes: the classes to score; by default those that both the detector and the test set
            know.
        batch_size: images per forward pass.
        bootstrap: resamples of the images behind the 95 % intervals.
        seed: of the resampling.
        results: write the predictions to this COCO results JSON.
        device: where a detector that is loaded here runs: ``auto``, ``cpu``, ``cuda``.
        progress: show a bar on stderr.

    Raises:
        UserError: unreadable input, a test set without labels, no class in common, or ``results``
        cannot be written.
    """
    for name, value, least in (
        ("batch-size", batch_size, 1),
        ("bootstrap", bootstrap, 0),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}")
    if isinstance(detector, (str, Path)) and Path(detector).suffix != ".json":
        detector = Detector.load(detector).to(resolve_device(device)).set_precision()
    known = detector.classes if isinstance(detector, Detector) else None
    if isinstance(data, Dataset):
        truth, ids = data, category_ids_by_name(data)
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


def predictions(
    detector: Detector, data: Dataset, batch_size: int = 4, progress: bool = False
) -> Iterator[Detections]:
    """Detections of every image of a data set, in order; the next images are decoded while the
    detector runs."""
    indices = range(0, len(data), batch_size)
    bar = tqdm(
        total=len(data),
        unit="image",
        desc="detecting",
        disable=not (progress and sys.stderr.isatty()),
        leave=False,
    )

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
    """``evaluate`` that leaves in ``out`` (if given) ``scores.json``, and ``predictions.json``
    unless ``run`` is one."""
    results = out / "predictions.json" if out and run.suffix != ".json" else None
    if out:
        check_writable(out)
    scores = evaluate(run, data, results=results, progress=True, **options)
    if out:
        which = {"scored": which_weights(run) or "predictions made before"}
        write_text(out / "scores.json", json.dumps(which | scores.to_dict(), indent=2) + "\n")
    return scores
