"""Where in the schedule an iteration stands: progress, phase and learning rate."""

from __future__ import annotations

from .config import TrainConfig
from .presets import Phase


class Schedule:
    """Where in the schedule an iteration stands.

    With ``iterations`` progress counts iterations; with ``minutes`` it follows the clock, so that training ends on time and the
    learning rate has gone all its way by then.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.iterations, self.minutes = config.iterations, config.minutes
        self.phases, self.warmup = config.phases, config.warmup

    def progress(self, iteration: int, seconds: float) -> float:
        """The part of the schedule that is done, in [0, 1]."""
        if self.minutes is not None:
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

    def rate(self, phase: Phase, detector_steps: int) -> float:
        """Factor on the learning rate; ``detector_steps`` counts the steps that trained the detector, for the warm-up."""
        if phase.trains == "classifier":
            return phase.rate
        return phase.rate * min(1.0, (detector_steps + 1) / max(1, self.warmup))
