"""What `dmaskrcnn export` hands its flags to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmaskrcnn.cli.export_verb import Export
from dmaskrcnn.cli.flags import refuse
from dmaskrcnn.errors import UserError, printable

if TYPE_CHECKING:
    from dmaskrcnn.run import Run

COMPARED = 8  # pictures
CALIBRATED = (
    100  # 15, 50 and 156 fog photographs gave the same AP50, to 0.1 points (docs/export.md)
)


def export_verb(verb: Export) -> None:
    """Write the folder, and say what was compared."""
    _check(verb)
    from dmaskrcnn.evaluation.labelled import open_test_set
    from dmaskrcnn.export.dehazing import check_method
    from dmaskrcnn.export.write import Quantisation, export_detector
    from dmaskrcnn.run import open_run

    if verb.dehaze != "none":
        check_method(verb.dehaze)
    run = open_run(verb.run)
    run.check_trained()
    int8 = None
    if verb.int8:
        test = open_test_set(verb.test, known=run.classes) if verb.test else None
        int8 = Quantisation(listed(verb.calibrate, CALIBRATED), test, verb.allow_loss)
    which, pictures = pictures_of(verb, run)
    print(printable(f"compared on {len(pictures)} {which}"), file=sys.stderr)
    out = export_detector(
        run,
        verb.out,
        pictures,
        runtime=verb.format,
        dehaze=verb.dehaze,
        int8=int8,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(out)


def _check(verb: Export) -> None:
    """What needs no torch to be known. Raises UserError."""
    if verb.int8 and not verb.calibrate:
        raise UserError("--int8 needs pictures of the target: name a folder with --calibrate")
    for name, given in (("--calibrate", verb.calibrate), ("--test", verb.test)):
        if given and not verb.int8:
            raise UserError(f"{name} is for --int8: add that, or leave {name} out")
    if not 0 <= verb.allow_loss <= 1:
        raise UserError(f"--allow-loss must be in [0, 1], got {verb.allow_loss:g}")
    if not verb.int8:
        refuse(verb, "without --int8: add that, or leave it out", "allow_loss")


def pictures_of(verb: Export, run: Run) -> tuple[str, list[Any]]:
    """What both are compared on, uint8 ``(H, W, 3)`` each, and what that is in words."""
    from dmaskrcnn.data.image import decode_pixels
    from dmaskrcnn.evaluation.labelled import images_of

    given = verb.compare or verb.calibrate
    if given:
        which = "pictures of --compare" if verb.compare else "pictures of --calibrate"
        return which, [decode_pixels(path) for path in listed(given, COMPARED)]
    for key in ("target", "source"):
        data = images_of(run, key)
        if data is not None and len(data):
            chosen = spread(data.paths, COMPARED)
            return f"pictures of the run's --{key}", [decode_pixels(path) for path in chosen]
    from dmaskrcnn.demo.scenes import rendered_pictures

    scenes = rendered_pictures(COMPARED, 0, progress=False)
    which = "rendered scenes, as the run's own pictures are not there (--compare names others)"
    return which, [scene.image for scene in scenes]


def listed(paths: Sequence[Path], most: int) -> list[Path]:
    """Pictures, and those in folders, evenly chosen. Raises UserError for none."""
    from dmaskrcnn.data.image import list_images

    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such picture or folder; check the path")
        inside = list_images(path) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: holds no pictures; give another folder")
        found += inside
    return spread(found, most)


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many of them, evenly chosen."""
    return [paths[i * len(paths) // most] for i in range(most)] if len(paths) > most else [*paths]
