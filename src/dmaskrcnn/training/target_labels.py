"""What a labeller finds in the target images, kept picture by picture: a labelling that is stopped
goes on where it was, and pictures that came or changed meanwhile are not forgotten."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_iou

from dmaskrcnn.config.labelling import LABELS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Dataset
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.fusion import look
from dmaskrcnn.distributed import gather, largest, rank, world_size
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import ResultLines, load_results, write_results
from dmaskrcnn.files import read_json, write_text
from dmaskrcnn.images.jobs import Progress
from dmaskrcnn.methods.parts.consensus import SAME
from dmaskrcnn.methods.parts.distillation import CANDIDATE
from dmaskrcnn.run import Run
from dmaskrcnn.training.fingerprint import picture_numbers
from dmaskrcnn.training.progress import stop_signals
from dmaskrcnn.training.target_look import looks, with_ids

LARGER = 1.5  # the second size at which the labeller reads, as a factor on its own
MOST_MISSED = 0.25  # of what a detector is sure of at its own size
# Pictures that a second round has labels for: as many as it looks at four times, which takes a part
# of its own time to label; and in a short one all of most people's.
VIEWS, LEAST = 4, 200
KEPT = "labelling"  # the folder in the run folder
PICTURES = "pictures.json"  # there: the ids of those that this training has labels for
Key = tuple[int | str, int]  # a picture: its id, and its content as a number


def sizes_of(image_size: int) -> tuple[int, int]:
    """At which a labeller of this size reads each picture, in pixels."""
    return image_size, round(LARGER * image_size)


def most_pictures(second: TrainConfig, first: Run | None = None) -> int:
    """How many labels a second round has time for. By the clock it will have as many steps in its
    time as the ``first`` one had."""
    iterations, asks = second.iterations, second.settings.asks
    if second.minutes and asks and first and (rows := first.metrics):
        iterations = round(rows[-1]["iteration"] * (1 - asks.share) / asks.share)
    return max(LEAST, iterations * second.targets // VIEWS)


def evenly(target: Dataset, most: int, brought: Path | None = None) -> Dataset:
    """As many pictures at most, evenly spread, among them those of all looks; first of those that a
    results JSON has ``brought`` labels for. Raises UserError as `load_results`."""
    if len(target) <= most:
        return target
    first = np.zeros(len(target), dtype=bool)
    if brought:
        found = load_results(brought, target.image_ids, {}, paths=target.paths, partly=True)
        first[:] = [found.count(image) > 0 for image in range(len(target))]
    chosen = np.isin(np.arange(len(target)), looks(target))
    for others in (np.flatnonzero(first & ~chosen), np.flatnonzero(~first & ~chosen)):
        more = min(len(others), max(0, most - int(chosen.sum())))
        chosen[others[np.linspace(0, len(others) - 1, more).round().astype(int)]] = True
    return target.select(chosen)


def looked_at(target: Dataset, folder: Path) -> Dataset:
    """Of the target images those that a labeller left labels of in a folder; all where it does not
    say."""
    try:
        return with_ids(target, read_json(folder / KEPT / PICTURES))
    except (UserError, OSError, ValueError, TypeError):
        return target


def label_target(
    run: Run, folder: Path, source: Dataset, target: Dataset, device: torch.device
) -> int:
    """Leave the labels of a run's detector as COCO results in a folder, for as much of the target
    as it has no labels yet. Under torchrun every process calls this, and labels its share.

    Args:
        run: the labeller.
        folder: of the training that asks for the labels.
        source: for the ids of the classes.
        target: the pictures.
        device: for the labeller.

    Returns:
        The number of the signal that stopped it, or 0.

    Raises:
        UserError: weights or kept labels that cannot be read, as `Detector.load`.
    """
    keys = list(zip(target.image_ids, picture_numbers(target), strict=True))
    kept = _read(folder / KEPT)
    gather([None])  # nobody writes before all have read
    missing = [index for index, key in enumerate(keys) if key not in kept]
    asked = _label(run, folder / KEPT, source, target, keys, missing, device) if missing else 0
    asked = int(largest(torch.tensor(asked)))
    if rank() == 0 and not asked:
        kept = _read(folder / KEPT)
        (folder / KEPT).mkdir(exist_ok=True)
        write_text(folder / KEPT / PICTURES, json.dumps(target.image_ids))
        write_results(folder / LABELS, (line for key in keys for line in kept.get(key, ())))
        print(f"labeller: its labels are in {folder / LABELS}", file=sys.stderr)
    gather([None])  # and nobody reads before they are there
    return asked


def trusted(
    run: Run, folder: Path, source: Dataset, target: Dataset, threshold: float, device: torch.device
) -> bool:
    """Whether the labels that a run's detector left in a folder can be learnt by that detector: not
    where they would call background what it is sure of at its own size, since its larger views see
    nothing there (docs/results.md). Says so. Under torchrun every process calls this.

    Args:
        run, folder, source, target, device: as of `label_target`.
        threshold: lowest score of what is sure, in (0, 1].

    Raises:
        UserError: as `load_results`.
    """
    share = gather([_missed(run, folder, source, target, threshold, device)])[0]
    if share is None:  # nothing is known against them
        return True
    said = f"labeller: its labels lack {share:.0%} of what the first round itself is sure of"
    if share > MOST_MISSED:
        said += ", too much: larger views do not help here, the second round does without"
    if rank() == 0:
        print(said, file=sys.stderr)
    return share <= MOST_MISSED


def _missed(
    run: Run, folder: Path, source: Dataset, target: Dataset, threshold: float, device: torch.device
) -> float | None:
    """The share, in some pictures (`looks`), at the size at which it was trained; None in all
    processes but the first, and where the detector is sure of nothing."""
    if rank() != 0:
        return None
    detector = Detector.load(run.path, device, image_size=run.config.get("image_size", 0))
    ids = dict(zip(source.classes, source.category_ids, strict=True))
    labels = load_results(
        folder / LABELS, target.image_ids, ids, own_ids=source.own_ids, partly=True
    )
    sure = missed = 0
    for index in looks(target):
        with suppress(UserError):  # broken: named before
            found = detector.predict(target.picture(index), threshold)
            alike = box_iou(found.boxes, labels[index].boxes) >= SAME
            alike &= found.labels[:, None] == labels[index].labels
            sure += len(found)
            missed += int((~alike.any(1)).sum())
    return missed / sure if sure else None


def _label(
    run: Run,
    kept: Path,
    source: Dataset,
    target: Dataset,
    keys: list[Key],
    missing: list[int],
    device: torch.device,
) -> int:
    """Look at this process's share of the missing pictures; see `label_target`."""
    detector = Detector.load(run.path, device, image_size=run.image_size)
    sizes = sizes_of(detector.config.image_size)
    predictors = [detector, Detector.load(run.path, device, image_size=sizes[1])]
    writer = ResultLines(dict(zip(source.classes, source.category_ids, strict=True)))
    share = missing[rank() :: world_size()]
    kept.mkdir(exist_ok=True)
    progress = Progress(len(share), rank() == 0, f"labelling at {sizes[0]} and {sizes[1]} px")
    try:
        with stop_signals() as stop, (kept / f"part-{rank()}.jsonl").open("a") as file:
            for index in share:
                if stop.signal:
                    return stop.signal
                try:
                    found = look(predictors, target.picture(index), CANDIDATE)
                    lines = writer.lines(target.image_ids[index], found)
                except UserError as error:  # one broken picture ends no labelling
                    progress.say(f"warning: not labelled: {error}")
                    lines = []
                # the break in front: what a kill cut short is a line of its own
                file.write("\n" + json.dumps([*keys[index], lines]))
                file.flush()
                progress.step()
        return 0
    finally:
        progress.close()


def _read(kept: Path) -> dict[Key, list[str]]:
    """The lines of a results JSON by picture, of all that is whole."""
    lines: dict[Key, list[str]] = {}
    for file in sorted(kept.glob("part-*.jsonl")):
        with file.open("rb") as kept_lines:
            for line in kept_lines:
                with suppress(ValueError, TypeError):  # cut short by a kill
                    image_id, number, of_image = json.loads(line)
                    lines[image_id, number] = list(map(str, of_image))
    return lines
