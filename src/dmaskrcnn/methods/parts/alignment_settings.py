"""The settings of gradient reversal, which several methods share. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from dmaskrcnn.config.methods import MethodSettings
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.uses import without
from dmaskrcnn.fields import check_not_negative


@dataclass(frozen=True)
class AlignmentSettings(MethodSettings):
    """How the features of both domains are made alike."""

    classifier: Literal["paper", "fcn"] = "fcn"
    """Domain classifier: the paper's joint one (18 M parameters), or a fully convolutional one per
    FPN level."""
    grl_lambda: float = 0.1
    """Factor on the reversed gradient (the paper: 0.1)."""
    grl_ramp: bool = False
    """Let the factor rise from 0 with Ganin and Lempitsky's schedule instead of keeping it
    constant."""
    grl_reverse: Literal["gated", "always"] = "gated"
    """`gated`: reverse the gradient only of images whose domain the classifier tells better than
    chance; `always`: as in the original."""
    grl_on: Literal["image", "instance", "both"] = "image"
    """What is aligned: whole feature maps (the original), the proposals' features, or both and
    their consistency."""

    def __post_init__(self) -> None:
        check_not_negative(self, "grl_lambda")

    @property
    def aligns(self) -> bool:
        """A method that does so by choice says whether."""
        return True

    def idle(self) -> dict[str, str]:
        """Without alignment all of these; without whole feature maps their classifier."""
        idle = super().idle()
        if not self.aligns:
            own = (f.name for f in fields(AlignmentSettings))
            idle |= dict.fromkeys(own, without("--align"))
        elif self.grl_on == "instance":
            idle["classifier"] = "with --grl-on instance, which has one of its own: leave it out"
        return idle

    @classmethod
    def defaults(cls, options: TrainOptions) -> dict[str, Any]:
        """The original's classifier and reversal with the preset that is closest to it."""
        paper = options.preset == "paper"
        return {"classifier": "paper", "grl_reverse": "always"} if paper else {}
