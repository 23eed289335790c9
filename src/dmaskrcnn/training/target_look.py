"""What a training's detector finds in the target before it learns from it and after, without
labels, and whether the difference looks like harm. Of two rounds, before the first and after
each."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from dmaskrcnn.config.labelling import FOLDER
from dmaskrcnn.data import Dataset
from dmaskrcnn.data.readable import readable
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.errors import UserError, printable
from dmaskrcnn.evaluation.text import Table
from dmaskrcnn.files import read_json, write_text
from dmaskrcnn.training.curves import SHOWN, draw_examples, draw_safely
from dmaskrcnn.training.state import TrainingState

FOUND = "target.json"  # in the run folder: all looks, and at which pictures
BEFORE = "pictures-before.jpg"  # the pictures of pictures.jpg, before
_LOST = (OSError, ValueError, LookupError, TypeError, ArithmeticError)
LOOKS = 32  # pictures: ten seconds on a CPU, and some objects of all but the rarest classes
FEW = 5  # objects in all, of which nothing can be told


def looks(target: Dataset) -> range:
    """About `LOOKS` of the pictures, evenly spread."""
    return range(0, len(target), max(1, len(target) // LOOKS))


def with_ids(target: Dataset, ids: Iterable[int | str]) -> Dataset:
    """The pictures of these ids; all of the target where it has none of them."""
    known = set(ids)
    seen = np.array([image_id in known for image_id in target.image_ids], dtype=bool)
    return target.select(seen) if seen.any() else target


def first_round(folder: Path) -> Path | None:
    """Of a run of two rounds the folder of the first, in its own; of others None."""
    first = folder / f"{FOLDER}-1"
    return first if (first / FOUND).exists() else None


def metrics_of_rounds(folder: Path, name: str) -> dict[str, Path]:
    """The ``metrics.csv`` of each round of a run, by what a legend calls it; ``name``: of one that
    has no rounds."""
    rounds = (
        {"round 1": first, "round 2": folder} if (first := first_round(folder)) else {name: folder}
    )
    return {name: folder / "metrics.csv" for name, folder in rounds.items()}


@dataclass(frozen=True)
class Found:
    """What is found in some pictures of the target.

    Attributes:
        iteration: when, of its round.
        pictures: how many were looked at.
        score: the mean of all objects that count, in [0, 1]; 0 where there are none.
        classes: objects per class, of a score of `SHOWN` and more.
        learnt: whether the detector had learnt anything by then.
    """

    iteration: int
    pictures: int
    score: float
    classes: dict[str, int]
    learnt: bool = True

    @classmethod
    def by(cls, detector: Detector, target: Dataset, iteration: int, learnt: bool = True) -> Found:
        """In up to `LOOKS` pictures, evenly spread. Raises UserError where none can be read."""
        count, scores, names = 0, 0.0, Counter[str]()
        for sample in islice(readable(target, looks(target)), LOOKS):
            found = detector.predict(sample.image, threshold=SHOWN)
            count, scores = count + 1, scores + float(found.scores.sum())
            names.update(found.names)
        score = scores / max(1, names.total())
        return cls(iteration, count, score, dict(names.most_common()), learnt)

    @property
    def objects(self) -> int:
        """In all."""
        return sum(self.classes.values())

    def per_picture(self, name: str = "") -> float:
        """Objects of a class, or of all."""
        return (self.classes.get(name, 0) if name else self.objects) / self.pictures


@dataclass(frozen=True)
class Looks:
    """All looks of a training at the same pictures, as its folder keeps them.

    Attributes:
        images: the ids of the pictures.
        found: what was found before and after, of two rounds after either.
        ended: whether the last of them is of the end.
    """

    images: list[int | str]
    found: list[Found]
    ended: bool = False

    @classmethod
    def read(cls, folder: Path) -> Looks:
        """Raises OSError, ValueError, LookupError or TypeError where they are lost or damaged."""
        values = read_json(folder / FOUND)
        found = [Found(**one) for one in values["found"]]
        return cls(list(values["images"]), found, bool(values["ended"]))

    def write(self, folder: Path) -> None:
        """Leave them in a run folder."""
        write_text(folder / FOUND, json.dumps(asdict(self)) + "\n")

    def pictures(self, target: Dataset) -> Dataset:
        """Those of the target; all of it where it has none of them."""
        return with_ids(target, self.images)


def look_before(state: TrainingState, folder: Path) -> None:
    """Leave what is found now in the run folder, before the first step that looks at the target;
    in a second round what was found before and after the first. Nothing where that was done, or
    where there is no target."""
    if state.target is None or (folder / FOUND).exists():
        return
    target = state.target
    try:
        if first := first_round(folder):
            replace(Looks.read(first), ended=False).write(folder)
            shutil.copyfile(first / BEFORE, folder / BEFORE)
            return
    except _LOST:
        pass
    try:
        looked = target.select(np.isin(np.arange(len(target)), looks(target)))
        learnt = state.iteration > 0 or not state.untrained
        with state.as_read() as detector:
            found = Found.by(detector, looked, state.iteration, learnt)
            draw_safely(folder / BEFORE, lambda file: draw_examples(detector, looked, file))
    except UserError:  # no picture can be read: the training says so
        return
    Looks(looked.image_ids, [found]).write(folder)


def to_draw(state: TrainingState, folder: Path) -> Dataset:
    """What a training is shown on at its end: the pictures of its looks, of the source where there
    is no target."""
    if state.target is None:
        return state.source
    try:
        return Looks.read(folder).pictures(state.target)
    except (UserError, *_LOST):
        return state.target


def look_after(state: TrainingState, folder: Path) -> list[str]:
    """Say what was found before and is found now; what of it looks like harm."""
    if state.target is None:
        return []
    try:
        before = Looks.read(folder)
        with state.as_read() as detector:
            now = Found.by(detector, before.pictures(state.target), state.iteration)
        earlier = before.found[:-1] if before.ended else before.found
        all_looks = Looks(before.images, [*earlier, now], ended=True)
        table = _table(all_looks.found)
    except (UserError, *_LOST):
        return []  # lost or damaged, or no picture can be read
    all_looks.write(folder)
    print(
        f"found in {now.pictures} target pictures, scores of {SHOWN} and more:",
        table,
        f"pictures: {folder / BEFORE}",
        f"          {folder / 'pictures.jpg'}",
        sep="\n",
        file=sys.stderr,
    )
    if state.config.settings.reads_target_labels:  # which is no guess
        return []
    # what had learnt nothing cannot have been harmed
    could = (before for before in earlier if before.learnt)
    return next((doubts for before in could if (doubts := harm(before, now))), [])


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


def _table(found: Sequence[Found]) -> str:
    classes = sum((Counter(one.classes) for one in found), Counter[str]())
    names = [name for name, _ in classes.most_common(8)]
    if len(found) == 2:
        titles = [f"before (iteration {found[0].iteration})"]
        titles += [f"after (iteration {found[1].iteration})"]
    else:
        titles = ["before", *(f"after round {i}" for i in range(1, len(found)))]
    rows = [["", *titles], ["objects per picture", *(f"{one.per_picture():.1f}" for one in found)]]
    for name in names if len(names) > 1 else []:
        rows += [[f"  {printable(name)}", *(f"{one.per_picture(name):.1f}" for one in found)]]
    rows += [["mean score", *(f"{one.score:.2f}" if one.objects else "" for one in found)]]
    return Table(rows).text()
