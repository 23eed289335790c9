"""Which of two detectors a stream of frames should go to: the one for clear air or the one for
haze, without flicker where the haze is between the two."""

from __future__ import annotations

from dataclasses import dataclass

from dmaskrcnn.errors import UserError


@dataclass
class HazeSwitch:
    """A switch with hysteresis (a Schmitt trigger): it turns to haze above one threshold, back to
    clear below a lower one, and stays as it is between them.

    Attributes:
        clear_below: haze (see `gauge.haziness`) below which the air counts as clear again.
        hazy_above: haze above which it counts as hazy.
        hazy: how it stands; None before the first frame, which the middle between the thresholds
            decides.

    Raises:
        UserError: thresholds that are not ``0 <= clear_below <= hazy_above <= 1``.
    """

    clear_below: float
    hazy_above: float
    hazy: bool | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.clear_below <= self.hazy_above <= 1:
            raise UserError(
                "--haze-thresholds must be two numbers from 0 to 1, the lower one first, got "
                f"{self.clear_below:g} {self.hazy_above:g}"
            )

    def update(self, haze: float) -> bool:
        """Whether the frame that shows this much haze counts as hazy; frames come in order."""
        if self.hazy is None:
            self.hazy = haze > (self.clear_below + self.hazy_above) / 2
        elif self.hazy:
            self.hazy = haze >= self.clear_below
        else:
            self.hazy = haze > self.hazy_above
        return self.hazy
