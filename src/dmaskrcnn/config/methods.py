"""What the configuration knows of a way to train, and where these are found: in the files of
`dmaskrcnn/methods`.

A new way is one file there and nothing else: a frozen dataclass derived from `MethodSettings`,
whose fields become flags, beside the method that it builds (docs/methods.md). Imports no torch.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dmaskrcnn.config.labelling import Labeller
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.schedule import SOURCE_PHASES, Phase
from dmaskrcnn.errors import UserError, first_line

if TYPE_CHECKING:
    from dmaskrcnn.data.augment import Augmentation
    from dmaskrcnn.data.dataset import Dataset
    from dmaskrcnn.detector.detector import Detector

METHODS = "dmaskrcnn.methods"


@dataclass(frozen=True)
class MethodSettings:
    """The settings of one way to train: fields with a default and a docstring each, and what
    follows from them. Checks of a single setting belong into ``__post_init__``."""

    uses_target: ClassVar[bool] = True
    """Whether batches hold target images."""
    reads_target_labels: ClassVar[bool] = False
    """Whether the labels of the target are read, which no way to adapt may do."""
    average: ClassVar[str] = ""
    """What the method calls the averaged weights, where it has a name for them."""

    files: ClassVar[tuple[str, ...]] = ()
    """Fields that name files; empty text names none."""

    @classmethod
    def name(cls) -> str:
        """What the command line calls the method: the name of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def defaults(cls, options: TrainOptions) -> dict[str, Any]:
        """Settings whose default follows from the rest of the configuration."""
        return {}

    def check(self, options: TrainOptions) -> None:
        """Raises UserError where the settings do not fit the options."""

    @property
    def aligns(self) -> bool:
        """Whether domain classifiers are trained, too."""
        return False

    def idle(self) -> dict[str, str]:
        """The settings, and options of a method's own, that have no effect beside the others; of
        each why, and what to do: ``without --align: add that, or leave it out``."""
        if self.aligns:
            return {}
        why = "without a domain classifier (--method grl, or teacher with --align): leave it out"
        return {"classifier_lr": why, "classifier_clip": why}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The schedule."""
        return SOURCE_PHASES

    def source_view(self, view: Augmentation) -> Augmentation:
        """How source images are augmented, from what is usual, which all methods share."""
        return view

    def target_view(self, view: Augmentation) -> Augmentation:
        """The same for target images; the usual view is that of the source without haze."""
        return view

    @property
    def asks(self) -> Labeller | None:
        """The detector that labels the target images before the training, if there is one."""
        return None

    def from_trained(self, iterations: int) -> MethodSettings:
        """The settings of a training that begins with a trained detector, and is so long."""
        return self

    def label_target(self, target: Dataset, source: Dataset, folder: Path | None) -> Dataset:
        """The target images with what they are to teach, such as pseudo-labels from a file, or from
        the run's folder, which may not be there yet. Raises UserError for a file that does not
        fit."""
        return target

    @property
    def keeps_target_labels(self) -> bool:
        """Whether the objects of the target reach the method in its batches."""
        return self.reads_target_labels

    # A `dmaskrcnn.methods.base.Method`: naming it would make a circle, since methods know settings.
    def build(self, detector: Detector) -> Any:
        """The method around a detector."""
        raise NotImplementedError


def find_methods() -> dict[str, type[MethodSettings]]:
    """The settings of every method, by name. Looks anew each time, so that a file put on the path
    of the package is found.

    Raises:
        UserError: a file there cannot be imported, or a setting has no default.
    """
    package = import_module(METHODS)
    found: dict[str, type[MethodSettings]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.ispkg:
            continue
        try:
            module = import_module(f"{METHODS}.{info.name}")
            for value in vars(module).values():
                if _is_settings(value) and value.__module__ == module.__name__:
                    value()  # every setting has a default
                    found[info.name] = value
        except (ImportError, SyntaxError, TypeError, ValueError) as error:
            raise UserError(f"{METHODS}.{info.name}: no method ({first_line(error)})") from error
    return found


def _is_settings(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, MethodSettings)
