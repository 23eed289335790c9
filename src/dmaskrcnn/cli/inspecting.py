"""What `dmaskrcnn inspect` hands its flags to."""

from __future__ import annotations

from dmaskrcnn.cli.label_verbs import Inspect
from dmaskrcnn.errors import UserError


def inspect_verb(verb: Inspect) -> None:
    """Say what data sets hold."""
    from dmaskrcnn.data.inspection import inspect

    if not verb.paths:
        raise UserError(
            "inspect: give at least one path: a COCO JSON file, a Pascal VOC folder "
            "or an image folder"
        )
    for number, path in enumerate(verb.paths):
        found = inspect(path, verb.orientation)
        print("\n" * bool(number) + found.format_text(show_all=verb.all))
