"""The settings of labels that another detector gives the target. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import arg

from dmaskrcnn.config.labelling import LABELS, NOBODY, SELF, Labeller
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import check_above_zero, check_share
from dmaskrcnn.methods.parts.alignment_settings import AlignmentSettings

if TYPE_CHECKING:
    from dmaskrcnn.data.dataset import Dataset


@dataclass(frozen=True)
class LabelSettings(AlignmentSettings):
    """Whose detections in the hazy images are learnt, and how far they are trusted."""

    files: ClassVar[tuple[str, ...]] = ("pseudo_labels", "labeller", "labeller_weights")

    labeller: Annotated[str, arg(metavar="self|train|RUN|none")] = NOBODY
    """Who labels the target images before the training. `self`: a first round of the same training,
    which then reads them at 1.5 and 2.25 times its size; where these views contradict its own, the
    second one does without. A run folder (RUN@640: reading them at 640 px). `train`: a larger
    detector, trained first on the source alone."""
    labeller_share: float = 0.6
    """With `--labeller self` and `train`, the part of --iterations or --minutes that is the
    training before; the rest is the student's."""
    labeller_weights: Annotated[str, arg(metavar="WEIGHTS", help_behavior_hint="")] = ""
    """With `--labeller train`, its start; by default that of --weights where it fits, or
    `imagenet`."""
    pseudo_labels: Annotated[str, arg(metavar="PATH", help_behavior_hint="")] = ""
    """COCO results JSON of another detector on the target images, as labels that are there
    already."""
    pseudo_threshold: float = 0.5
    """Lowest score of such a label that counts as an object by itself; those from 0.2 up to it
    count as neither object nor background, unless the run's own teacher sees them, too."""
    trust: Literal["both", "labels"] = "both"
    """`both`: such labels and the run's own teacher, compared object by object; `labels`: the
    labels alone, as they are, which is how those of `--labeller self` are always learnt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_above_zero(self, "labeller_share")
        check_share(self, "labeller_share", whole=False)
        if not 0 < self.pseudo_threshold <= 1:
            raise UserError(f"--pseudo-threshold must be in (0, 1], got {self.pseudo_threshold}")

    @property
    def asks(self) -> Labeller | None:
        """What labels the target before the training."""
        if self.labeller == NOBODY:
            return None
        share, weights = self.labeller_share, self.labeller_weights
        return Labeller(self.labeller, share, weights, self.pseudo_threshold)

    @property
    def keeps_target_labels(self) -> bool:
        """Where another detector's labels are learnt."""
        return bool(self.pseudo_labels) or self.labeller != NOBODY

    @property
    def compares(self) -> bool:
        """Whether labels are compared with what the teacher sees: not with one that has the weights
        which labelled, whose agreement says nothing."""
        return self.trust == "both" and self.labeller != SELF

    def label_target(self, target: Dataset, source: Dataset, folder: Path | None) -> Dataset:
        """The labels of the file, those that a labeller left in the run folder, or what these two
        say together."""
        from dmaskrcnn.methods.parts.pseudo_labels import both_labels, with_pseudo_labels

        threshold, given, kept = self.pseudo_threshold, [], folder and folder / LABELS
        if self.pseudo_labels:
            brought = Path(self.pseudo_labels)
            given.append(with_pseudo_labels(target, brought, source, threshold))
        if self.labeller != NOBODY and kept:
            given.append(with_pseudo_labels(target, kept, source, threshold, self.labeller))
        return both_labels(*given) if len(given) > 1 else given[0] if given else target
