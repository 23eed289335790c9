"""The settings of labels that another detector gives the target. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import arg

from dmaskrcnn.config.labelling import LABELS, SELF, TRAIN, Labeller
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import check_above_zero
from dmaskrcnn.methods.parts.alignment_settings import AlignmentSettings

if TYPE_CHECKING:
    from dmaskrcnn.data.dataset import Dataset


@dataclass(frozen=True)
class LabelSettings(AlignmentSettings):
    """Whose detections in the hazy images are learnt, and how far they are trusted."""

    files: ClassVar[tuple[str, ...]] = ("pseudo_labels", "labeller", "labeller_weights")

    labeller: Annotated[str, arg(metavar="RUN|train|self", help_behavior_hint="")] = ""
    """Who labels the target images before the training. `self`: a first round of the same training,
    which then reads them at 1.5 and 2.25 times its size. A run folder (RUN@640: reading them at
    640 px). `train`: a larger detector, trained first on the source alone."""
    labeller_length: float = 0.5
    """With `--labeller self` and `train`, the length of the training before as a factor on
    --iterations or --minutes, to which it is added."""
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
        check_above_zero(self, "labeller_length")
        if not 0 < self.pseudo_threshold <= 1:
            raise UserError(f"--pseudo-threshold must be in (0, 1], got {self.pseudo_threshold}")
        if self.labeller and self.pseudo_labels:
            raise UserError("--labeller and --pseudo-labels are both given: keep one of them")
        if self.labeller_weights and self.labeller != TRAIN:
            raise UserError("--labeller-weights has no use without --labeller train: leave it out")

    @property
    def asks(self) -> Labeller | None:
        """What labels the target before the training."""
        if not self.labeller:
            return None
        return Labeller(self.labeller, self.labeller_length, self.labeller_weights)

    @property
    def keeps_target_labels(self) -> bool:
        """Where another detector's labels are learnt."""
        return bool(self.pseudo_labels or self.labeller)

    @property
    def compares(self) -> bool:
        """Whether labels are compared with what the teacher sees: not with one that has the weights
        which labelled, whose agreement says nothing."""
        return self.trust == "both" and self.labeller != SELF

    def label_target(self, target: Dataset, source: Dataset, folder: Path | None) -> Dataset:
        """The labels of the file, or those that a labeller left in the run folder."""
        from dmaskrcnn.methods.parts.pseudo_labels import with_pseudo_labels

        threshold, path = self.pseudo_threshold, Path(self.pseudo_labels)
        if self.pseudo_labels:
            return with_pseudo_labels(target, path, source, threshold)
        if not self.labeller or folder is None:
            return target
        return with_pseudo_labels(target, folder / LABELS, source, threshold, self.labeller)
