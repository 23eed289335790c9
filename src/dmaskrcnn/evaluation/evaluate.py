"""Run detectors over a labelled data set and score them; keep the predictions, so that they can be
scored again without a model."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dmaskrcnn.data import Dataset
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.limits import Limits
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.by_size import score_by_size
from dmaskrcnn.evaluation.labelled import TestSet, open_test_set, warn_if_trained_on
from dmaskrcnn.evaluation.odd_results import check_classes
from dmaskrcnn.evaluation.results_json import ResultLines, save_results, write_results
from dmaskrcnn.evaluation.score import score
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.evaluation.sized_set import Size
from dmaskrcnn.files import check_writable, write_text
from dmaskrcnn.output_folder import check_marked
from dmaskrcnn.run import Run, open_run, run_names
from dmaskrcnn.runtime.exported import ExportedDetector

if TYPE_CHECKING:
    from torch import Tensor

    from dmaskrcnn.detector.detector import Detector

# Lowest score of a box that enters average precision: what a detector finds at low scores adds
# recall, and COCO's figures of other detectors count it (YOLO's validation: 0.001). Below that
# hardly any of the 100 boxes per image and class is left to cut.
MIN_SCORE = 0.001
# how its files begin
SCORES = r'\{\n  "scored": '
PREDICTIONS = r'\[\n(\{"image_id": |\n\])'
# threads that decode the next pictures: a GPU is through with one before a single thread has read
# the next
READERS = min(4, os.cpu_count() or 1)


def evaluate(
    detector: Detector | ExportedDetector | Run | str | Path,
    data: TestSet | Dataset | str | Path | Sequence[str | Path],
    *,
    classes: Sequence[str] = (),
    batch_size: int = 4,
    bootstrap: int = 1000,
    seed: int = 0,
    results: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
    groups: str = "",
    orientation: Orientation = "auto",
    min_score: float = MIN_SCORE,
    size: Size | None = None,
    by_size: bool = False,
) -> Scores:
    """Score a detector on labelled images. All scores of this package come from here.

    Args:
        detector: a detector (also an exported one), a run folder, an exported folder, or a COCO
            results JSON of any detector.
        data: the test set, or the path(s) to open it from.
        classes: the classes to score, of a test set that is opened here; by default those that both
            the detector and the test set know.
        batch_size: images per forward pass.
        bootstrap: resamples of the images behind the 95 % intervals.
        seed: of the resampling.
        results: write the predictions to this COCO results JSON.
        device: where a detector that is loaded here runs: ``auto``, ``cpu``, ``cuda``.
        progress: show a bar on stderr.
        groups: which images of a test set that is opened here belong together and are resampled as
            one, see `dmaskrcnn.data.group_images`.
        orientation: of the boxes of a test set that is opened here, see `open_dataset`.
        min_score: lowest score of a box that counts, of a detector that runs here.
        size: of the objects that are asked for, such as ``SIZES["small"]``; by default all.
        by_size: instead of that, all, and besides each size by itself (`score_by_size`).

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
    run = open_run(detector) if isinstance(detector, (str, Path)) else detector
    detector = run.detector(device) if isinstance(run, Run) and not run.is_results else run
    if isinstance(data, TestSet):
        test = data
    elif isinstance(data, Dataset):
        test = TestSet.of(data, groups)
    else:
        known = None if isinstance(detector, Run) else detector.classes
        test = open_test_set(data, classes, known, groups, orientation)
        if isinstance(run, Run):
            warn_if_trained_on([run], test.data)
    if isinstance(detector, Run):
        found: Iterable[Detections] = (given := test.results(detector.path))
        if test is not data:  # otherwise whoever opened it knows what it is given
            check_classes(detector.path, given.found, test.category_ids)
    else:
        if results is not None:
            check_writable(Path(results).parent)
        found = predictions(detector, test.data, batch_size, progress, min_score)
        if results is not None:
            save_results(results, test.data.image_ids, found, test.category_ids)
            found = test.results(results)
    found = list(found) if by_size else found  # read once for each size

    def score_of(size: Size | None) -> Scores:
        return score(
            test.data, found, bootstrap=bootstrap, seed=seed, groups=test.groups, size=size
        )

    return score_by_size(score_of) if by_size else score_of(size)


def evaluate_to(
    out: Path | None,
    run: Run,
    test: TestSet,
    *,
    batch_size: int = 4,
    bootstrap: int = 1000,
    seed: int = 0,
    device: str = "auto",
    predicted: bool = False,
    by_size: bool = False,
) -> Scores:
    """``evaluate`` that leaves in ``out`` (if given) ``scores.json``, and ``predictions.json``
    unless ``run`` is one, or that has been ``predicted`` already."""
    if out:
        check_writable(out)
        check_marked(out / "scores.json", "evaluate", SCORES)
    results = out / "predictions.json" if out and not run.is_results else None
    if results:
        check_marked(results, "evaluate", PREDICTIONS)
    scores = evaluate(
        open_run(results) if predicted and results else run,
        test,
        batch_size=batch_size,
        bootstrap=bootstrap,
        seed=seed,
        results=None if predicted else results,
        device=device,
        progress=True,
        by_size=by_size,
    )
    if out:
        which = {"scored": run.weights_said or "predictions made before"}
        write_text(out / "scores.json", json.dumps(which | scores.to_dict(), indent=2) + "\n")
    return scores


def summary(run: Run, scores: Scores, out: Path | None) -> str:
    """What a person is told of a scored run: its weights, its table, where the files are."""
    which = run.weights_said
    text = f"{run}{which and f' ({which})'}\n{scores.table()}\n"
    if out:
        text += f"\n{'scores' if run.is_results else 'predictions and scores'}: {out}\n"
    return text


def save_in_shares(
    results: Path, detector: Detector | ExportedDetector, test: TestSet, batch_size: int = 4
) -> None:
    """Write the predictions of a test set, as `evaluate` does with ``results``, by all processes of
    torchrun: each predicts its share of the batches, the first one writes.

    Raises:
        UserError: unreadable pictures, or the file cannot be written.
    """
    from dmaskrcnn.distributed import gather, rank, world_size

    data, lines = test.data, list[tuple[int, list[str]]]()
    writer = ResultLines(test.category_ids)
    starts = range(0, len(data), batch_size)[rank() :: world_size()]
    images = [i for start in starts for i in range(start, min(start + batch_size, len(data)))]
    found = predictions(detector, data, batch_size, starts=starts)
    for image, one in zip(images, found, strict=True):
        lines.append((image, writer.lines(data.image_ids[image], one)))
    everything = sorted(gather(lines))
    if rank() == 0:
        check_writable(results.parent)
        write_results(results, (line for _, of_image in everything for line in of_image))


def predictions(
    detector: Detector | ExportedDetector,
    data: Dataset,
    batch_size: int = 4,
    progress: bool = False,
    min_score: float = MIN_SCORE,
    starts: Sequence[int] | None = None,
) -> Iterator[Detections]:
    """Detections of every image of a data set, in order, or of the batches that start at these
    images alone; the next images are decoded while the detector runs. Where the data have no masks
    to compare with, only boxes that the detector would show by itself (its ``min_score``)
    get one, since masks take longest."""
    limits = Limits(min_score, 0.0 if has_masks(data) else detector.config.min_score)
    starts = range(0, len(data), batch_size) if starts is None else starts
    bar = tqdm(
        total=len(data),
        unit="image",
        desc="detecting",
        disable=not (progress and sys.stderr.isatty()),
        leave=False,
    )

    def read(start: int) -> list[Future[Tensor]]:
        images = range(start, min(start + batch_size, len(data)))
        return [pool.submit(data.picture, i) for i in images]

    with bar, ThreadPoolExecutor(READERS) as pool:
        reads = (read(start) for start in starts)
        coming = deque(islice(reads, 2))
        while coming:
            images = [picture.result() for picture in coming.popleft()]
            coming.extend(islice(reads, 1))
            yield from detector.predict(images, 0.0, limits)
            bar.update(len(images))


def has_masks(data: Dataset) -> bool:
    """Whether there are masks to compare with."""
    return data.objects is not None and bool(data.objects.has_mask.any())


def output_folders(
    runs: Sequence[Run], data: Sequence[Path], out: Path | None
) -> list[Path | None]:
    """Where the files of each run go: ``evaluate-<data>`` in the run folder, with the size where
    it is another (nowhere for a results JSON), or ``out``.

    Several runs get a folder each in ``out``, named after the run, with the folder above it where
    two runs have the same name.
    """
    if out is None:
        name = f"evaluate-{folder_name(data)}"
        sizes = [f"-{run.image_size}px" if run.image_size else "" for run in runs]
        return [
            None if run.is_results else run.path / (name + size)
            for run, size in zip(runs, sizes, strict=True)
        ]
    if len(runs) == 1:
        return [out]
    return [out / name for name in run_names(runs)]


def folder_name(data: Sequence[Path]) -> str:
    """A short name for a test set: the last two parts of its path."""
    paths = (path.resolve() for path in data)
    parts = [
        p
        for path in paths
        for p in (path.with_suffix("") if path.suffix == ".json" else path).parts[1:][-2:]
    ]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts)).strip("-.") or "data"
