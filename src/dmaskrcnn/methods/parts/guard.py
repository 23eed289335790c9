"""What tells that a training does harm: the guard of adversarial training, and the watch over the
number of pseudo-labels. Imports no torch."""

from __future__ import annotations

import math
from typing import Any

from dmaskrcnn.errors import UserError

LN2 = math.log(2)
# Iterations after which the number of pseudo-labels has a level to be compared with: hundreds of
# pictures, so that no single crowded one sets it.
SETTLED = 50
FEW_LABELS = 0.02  # per image: one in fifty images teaches nothing
MOMENTUM = 0.99  # of the running mean of that number: over some 100 iterations
# Taught objects for each one that brought labels are sure of, and so many more, from which what was
# added outweighs them. Where it did harm there were 6 to 30 (docs/results.md).
OUTWEIGHED = 2.0


class DivergenceGuard:
    """Stops adversarial training before it destroys detection.

    Two signs, both on averages over about 50 iterations so that one hard batch does no harm: the
    domain loss far above ln 2 (the reversed gradient blows the features up: REFERENCE's trial ended
    in the ten thousands), and the detection loss far above the lowest it has been since adaptation
    began.

    Args:
        domain_limit: largest averaged domain loss, in nats; 10 is 14 times chance.
        detection_factor: largest averaged detection loss, as a factor on its lowest average so far.
    """

    def __init__(self, domain_limit: float = 10.0, detection_factor: float = 3.0) -> None:
        self.domain_limit = domain_limit
        self.detection_factor = detection_factor
        self.state = {"seen": 0, "domain": 0.0, "detection": 0.0, "lowest": math.inf}

    def watch(self, domain: float, detection: float) -> None:
        """Take note of one iteration's losses (averages over ranks). Raises UserError with advice
        when training diverges."""
        state = self.state
        state["seen"] += 1
        weight = max(1 / state["seen"], 1 / 50)
        # One number may be arbitrarily large: clamp, so that a single spike cannot trip the guard
        # on its own.
        state["domain"] += weight * (min(domain, 5 * self.domain_limit) - state["domain"])
        state["detection"] += weight * (detection - state["detection"])
        if state["seen"] < 20:
            return
        state["lowest"] = min(state["lowest"], state["detection"])
        if state["domain"] > self.domain_limit:
            sign = f"the domain loss averages {state['domain']:.1f}, chance is {LN2:.2f}"
        elif state["detection"] > self.detection_factor * state["lowest"]:
            sign = f"the detection loss rose from {state['lowest']:.2f} to {state['detection']:.2f}"
        else:
            return
        raise UserError(
            f"adversarial training diverges ({sign}): stopped before detection is destroyed; the "
            "last checkpoint is from before. Start again with a lower --grl-lambda or "
            "--lr, with --grl-ramp, or from a trained detector (--weights RUN)"
        )


class PseudoLabelWatch:
    """Warns, once, when pseudo-labels vanish or multiply: below a fifth of the level at which they
    settled, or above five times of it."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"seen": 0, "count": 0.0, "level": 0.0, "warned": False}

    def watch(self, now: float) -> str | None:
        """Take note of one iteration's pseudo-labels per image; a warning with advice, or None."""
        state = self.state
        state["seen"] += 1
        weight = max(1 / state["seen"], 1 - MOMENTUM)
        state["count"] += weight * (now - state["count"])
        if state["seen"] == SETTLED:
            state["level"] = state["count"]
        if state["seen"] < SETTLED or state["warned"]:
            return None
        count, level = state["count"], state["level"]
        if count < max(FEW_LABELS, level / 5):
            state["warned"] = True
            return (
                f"the teacher finds almost nothing in the target images ({count:.2f} "
                f"pseudo-labels per image, {level:.2f} at first): a longer --burn-in, "
                "--pseudo-labels of another detector, or --haze-augment 0.5 where it is not yet "
                "set would help"
            )
        if count > 5 * level + 1:
            state["warned"] = True
            return (
                f"the pseudo-labels multiply ({count:.2f} per image, {level:.2f} at first): the "
                "teacher believes its own mistakes; lower --lr or train for less time"
            )
        return None


class AddedLabelsWatch:
    """Warns, once, when a student is taught far more objects than the labels that were brought are
    sure of: the rest is what labels and teacher are both unsure of, and what the teacher sees
    alone."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"seen": 0, "taught": 0.0, "sure": 0.0, "warned": False}

    def watch(self, taught: float, sure: float) -> str | None:
        """Take note of one iteration's objects per image; a warning with advice, or None."""
        state = self.state
        state["seen"] += 1
        weight = max(1 / state["seen"], 1 - MOMENTUM)
        for name, now in (("taught", taught), ("sure", sure)):
            state[name] += weight * (now - state[name])
        if state["warned"] or state["seen"] < SETTLED:
            return None
        if state["taught"] <= OUTWEIGHED * state["sure"] + 1:
            return None
        state["warned"] = True
        return (
            f"the student is taught {state['taught']:.1f} objects per target image, of which its "
            f"labels are sure of {state['sure']:.1f}: where labeller and teacher learnt from the "
            "same pictures, that they agree is no evidence, and such labels did harm; --trust "
            "labels learns what the labels are sure of alone"
        )
