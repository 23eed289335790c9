"""The schedule: its phases, and where in it an iteration stands. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, compress, takewhile
from math import ceil
from typing import Literal


@dataclass(frozen=True)
class Phase:
    """One stretch of the schedule."""

    name: str
    """Shown in the progress bar and the metrics."""
    share: float
    """Its part of the whole schedule; the shares of all phases add up to 1."""
    rate: float = 1.0
    """Factor on the learning rate."""
    trains: Literal["all", "classifier"] = "all"
    """What learns: everything, or the domain classifier alone."""
    target: bool = True
    """Whether batches hold target images."""
    from_average: bool = False
    """Whether the detector goes on from its averaged weights."""
    decay: float | None = None
    """Of the averaged weights; None: ``--ema``."""
    least: int = 0
    """Steps that it takes at least, but for a third of the schedule."""


# what every method does but those with phases of their own, in the proportions of the original
SOURCE_PHASES = (Phase("train", 55 / 75), Phase("fine", 20 / 75, rate=0.1))


def lengthen(phases: Sequence[Phase], iterations: int) -> tuple[Phase, ...]:
    """The phases with the shares that a schedule of ``iterations`` steps (0: unknown, by the clock)
    gives them: those with a ``least`` number of steps take it, at the cost of the others alike."""
    floors = [min(p.least / iterations, 1 / 3) if iterations else 0.0 for p in phases]
    short = [floor > p.share for floor, p in zip(floors, phases, strict=True)]
    if not any(short):
        return tuple(phases)
    rest = 1 - sum(compress(floors, short))
    rest /= sum(p.share for p, is_short in zip(phases, short, strict=True) if not is_short)
    return tuple(
        replace(p, share=floor if is_short else p.share * rest)
        for p, floor, is_short in zip(phases, floors, short, strict=True)
    )


# What the decay begins with where a trained detector is trained by the clock: the last 50 steps
# count, and a teacher that is so quick suits the few hundred steps of minutes on a CPU.
BY_THE_CLOCK = 0.98


def rising_decay(decay: float, steps: int, least: float = 0.0) -> float:
    """Of an average that begins with random weights: from 0.1 up to ``decay``, so that these are
    soon forgotten. After n steps about the last n / 9 count. From ``least`` up to it where that is
    more."""
    return min(decay, max(least, (1 + steps) / (10 + steps)))


# The longest warm-up under ``minutes``, as a part of the schedule: 95 % of it are left at the full
# rate, whatever the machine. With the presets' iterations it is 0.1 % (paper) to 3 % (cpu) of it.
WARMUP_SHARE = 0.05


class Schedule:
    """Where in the schedule an iteration stands.

    With ``minutes`` above 0 progress follows the clock, so that training ends on time and the
    learning rate has gone all its way by then; otherwise it counts iterations. The warm-up then
    ends after ``warmup`` iterations or after `WARMUP_SHARE` of the time, whichever comes first.
    """

    def __init__(
        self, phases: Sequence[Phase], iterations: int, minutes: float, warmup: int
    ) -> None:
        self.phases, self.iterations, self.minutes, self.warmup = (
            phases,
            iterations,
            minutes,
            warmup,
        )

    def progress(self, iteration: int, seconds: float) -> float:
        """The part of the schedule that is done, in [0, 1]."""
        if self.minutes:
            return min(1.0, seconds / (60 * self.minutes))
        return min(1.0, iteration / self.iterations) if self.iterations else 1.0

    def phase(self, progress: float) -> Phase:
        """The phase at this point."""
        end = 0.0
        for phase in self.phases:
            end += phase.share
            if progress < end - 1e-9:
                return phase
        return self.phases[-1]

    def rate(self, phase: Phase, detector_steps: int, progress: float = 0.0) -> float:
        """Factor on the learning rate; ``detector_steps`` counts the steps that trained the
        detector, for the warm-up."""
        if phase.trains == "classifier":
            return phase.rate
        risen = (detector_steps + 1) / max(1, self.warmup)
        if self.minutes:
            risen = max(risen, (progress - self._detector_begins()) / WARMUP_SHARE)
        return phase.rate * min(1.0, risen)

    def _detector_begins(self) -> float:
        """The part of the schedule before the first phase that trains the detector."""
        frozen = takewhile(lambda phase: phase.trains == "classifier", self.phases)
        return sum(phase.share for phase in frozen)

    def steps(self, iterations: int) -> dict[str, int]:
        """How many of so many steps in all each phase gets, by its name."""
        ends = [0, *(ceil(iterations * e - 1e-6) for e in accumulate(p.share for p in self.phases))]
        return {p.name: b - a for p, a, b in zip(self.phases, ends, ends[1:], strict=False)}
