"""What a training's detector finds in the target before it learns from it and after, without
labels, and whether the difference looks like harm."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dmaskrcnn.data import Dataset
from dmaskrcnn.data.readable import readable
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.errors import UserError, printable
from dmaskrcnn.evaluation.text import Table
from dmaskrcnn.files import read_json, write_text
from dmaskrcnn.training.curves import SHOWN, draw_examples, draw_safely
from dmaskrcnn.training.state import TrainingState

FOUND = "target.json"  # in the run folder: both looks
BEFORE = "pictures-before.jpg"  # the pictures of pictures.jpg, before
LOOKS = 32  # pictures: ten seconds on a CPU, and some objects of all but the rarest classes
FEW = 5  # objects in all, of which nothing can be told


def looks(target: Dataset) -> range:
    """About `LOOKS` of the pictures, evenly spread."""
    return range(0, len(target), max(1, len(target) // LOOKS))


@dataclass(frozen=True)
class Found:
    """What is found in some pictures of the target.

    Attributes:
        iteration: when.
        pictures: how many were looked at.
        score: the mean of all objects that count, in [0, 1]; 0 where there are none.
        classes: objects per class, of a score of `SHOWN` and more.
    """

    iteration: int
    pictures: int
    score: float
    classes: dict[str, int]

    @classmethod
    def by(cls, detector: Detector, target: Dataset, iteration: int) -> Found:
        """In up to `LOOKS` pictures, evenly spread. Raises UserError where none can be read."""
        count, scores, names = 0, 0.0, Counter[str]()
        for sample in islice(readable(target, looks(target)), LOOKS):
            found = detector.predict(sample.image, threshold=SHOWN)
            count, scores = count + 1, scores + float(found.scores.sum())
            names.update(found.names)
        return cls(iteration, count, scores / max(1, names.total()), dict(names.most_common()))

    @property
    def objects(self) -> int:
        """In all."""
        return sum(self.classes.values())

    def per_picture(self, name: str = "") -> float:
        """Objects of a class, or of all."""
        return (self.classes.get(name, 0) if name else self.objects) / self.pictures


def look_before(state: TrainingState, folder: Path) -> None:
    """Leave what is found now in the run folder, before the first step that looks at the target;
    nothing where that was done, or where there is no target."""
    if state.target is None or (folder / FOUND).exists():
        return
    target = state.target
    try:
        with state.as_read() as detector:
            found = Found.by(detector, target, state.iteration)
            draw_safely(folder / BEFORE, lambda file: draw_examples(detector, target, file))
    except UserError:  # no picture can be read: the training says so
        return
    write_text(folder / FOUND, json.dumps({"before": asdict(found)}) + "\n")


def look_after(state: TrainingState, folder: Path) -> list[str]:
    """Say what was found before and is found now; what of it looks like harm."""
    if state.target is None:
        return []
    try:
        before = _read(folder / FOUND)
        with state.as_read() as detector:
            after = Found.by(detector, state.target, state.iteration)
    except (UserError, OSError, ValueError, LookupError, TypeError, ArithmeticError):
        return []  # lost or damaged, or no picture can be read
    both = {"before": asdict(before), "after": asdict(after)}
    write_text(folder / FOUND, json.dumps(both) + "\n")
    print(
        f"found in {after.pictures} target pictures, scores of {SHOWN} and more:",
        _table(before, after),
        f"pictures: {folder / BEFORE}",
        f"          {folder / 'pictures.jpg'}",
        sep="\n",
        file=sys.stderr,
    )
    # what had learnt nothing cannot have been harmed, what reads the target's labels is no guess
    untrained = state.untrained and not before.iteration
    return [] if untrained or state.config.settings.reads_target_labels else harm(before, after)


def harm(before: Found, after: Found) -> list[str]:
    """What an adaptation that went wrong looks like without labels. Not all harm shows so."""
    advice = (
        "adapting may have done harm; compare pictures-before.jpg with pictures.jpg, and begin "
        "from a better detector (--weights RUN) or with a lower --lr"
    )
    signs = []
    now, then = after.per_picture(), before.per_picture()
    counts = f"{now:.1f} objects per target picture, {then:.1f} before"
    # however sure of them it is: a start that sees next to nothing was taught its own mistakes
    if after.objects > 10 * max(before.objects, FEW):
        signs.append(f"the detector finds {counts}, too many to be believed")
    elif before.objects >= FEW:
        if after.objects < before.objects / 2:
            signs.append(f"the detector finds {counts}")
        elif after.objects > 3 * before.objects and after.score < before.score:
            signs.append(f"the detector finds {counts}, and is less sure of them")
    lost = [
        name
        for name, count in before.classes.items()
        if count >= FEW and after.classes.get(name, 0) < count / 5
    ]
    if lost and not signs:
        signs.append(f"of {', '.join(lost)} hardly any is found any more")
    return [f"{sign}: {advice}" for sign in signs]


def _read(file: Path) -> Found:
    values: dict[str, Any] = read_json(file)["before"]
    return Found(**{name: values[name] for name in Found.__dataclass_fields__})


def _table(before: Found, after: Found) -> str:
    names = [name for name, _ in (Counter(before.classes) + Counter(after.classes)).most_common(8)]
    looks = (before, after)
    rows = [["", f"before (iteration {before.iteration})", f"after (iteration {after.iteration})"]]
    rows += [["objects per picture", *(f"{found.per_picture():.1f}" for found in looks)]]
    for name in names if len(names) > 1 else []:
        rows += [[f"  {printable(name)}", *(f"{found.per_picture(name):.1f}" for found in looks)]]
    rows += [["mean score", *(f"{found.score:.2f}" if found.objects else "" for found in looks)]]
    return Table(rows).text()
