"""Values that can have no effect beside the others: flags without their partner. Imports no
torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import flag

if TYPE_CHECKING:
    from dmaskrcnn.config.train import TrainConfig


def check_uses(config: TrainConfig) -> None:
    """Of what a person gives; a run that has begun goes on with what it began with.

    Raises:
        UserError: naming the first value that differs from the default and has no effect.
    """
    settings = config.settings
    kind = type(settings)
    usual = (kind(**kind.defaults(config)), PRESETS[config.preset])
    idle = settings.idle()
    if not config.trains and settings.asks:
        idle["labeller"] = "with --iterations 0, which learns no labels: leave it out"
    if not config.test:
        idle["groups"] = without("--test")
    for name, why in idle.items():
        owner, default = (settings, usual[0]) if hasattr(settings, name) else (config, usual[1])
        if getattr(owner, name) != getattr(default, name):
            raise UserError(f"{flag(name)} has no use {why}")


def without(partner: str) -> str:
    """Why a flag has no effect that needs this one, and what to do."""
    return f"without {partner}: add that, or leave it out"
