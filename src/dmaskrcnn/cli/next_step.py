"""What to do next: the last line of every verb, on standard error, a command with the paths of this
one. Imports no torch."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmaskrcnn.cli.flags import ReadsLabels
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data.splits import without_size
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from dmaskrcnn.run import Run

Words = Sequence[object]
PICTURES = "pictures"  # where `predict` is told to write


def say_next(verb: Any, result: Any = None) -> None:
    """Print it, but for a verb that has none, such as a service.

    Args:
        verb: the object that the words on the command line stood for.
        result: what the verb gave back: the run folder of a training.
    """
    step = STEPS.get(type(verb).__name__)
    if getattr(verb, "cluster", ""):  # millions of pictures, perhaps in a bucket
        return
    if step is None or os.environ.get("RANK", "0") != "0":  # of torchrun, one process speaks
        return
    sys.stdout.flush()  # where nobody reads any more, nothing is said
    with suppress(UserError, OSError):  # whatever became of the files: the verb has succeeded
        if words := step(verb, result):
            if {"--source", "--data"} & set(words) and (folders := _folders_of(verb)):
                words = [*words, "--images", *folders]
            line = " ".join(w if isinstance(w, _Hint) else shlex.quote(str(w)) for w in words)
            print(f"Next: dmaskrcnn {line}", file=sys.stderr)


def _folders_of(verb: Any) -> Sequence[Path]:
    """Where the user said that the pictures of labels lie, now or when the run was trained."""
    if isinstance(verb, (ReadsLabels, TrainConfig)):
        return [_short(folder) for folder in verb.images]
    from dmaskrcnn.run import open_run

    return _still_there(open_run(verb.run), "images") if hasattr(verb, "run") else []


class _Hint(str):
    """What a person is to put in, and no word of the command."""


def _after_demo(verb: Any, result: Any) -> Words:
    own = _Hint("  # yours")
    return ["adapt", "--source", "clear/annotations.json", "--target", "hazy/", own]


def _after_training(verb: Any, result: Any) -> Words:
    return _with_run(result) if result else []


def _with_run(run: Path) -> Words:
    """Look at what it finds in the hazy images that it was trained for, or at the run itself."""
    from dmaskrcnn.run import open_run

    seen = _still_there(open_run(run), "target")
    return ["predict", run, *seen, "--out", PICTURES] if seen else ["report", run]


def _after_evaluate(verb: Any, result: Any) -> Words:
    if len(verb.runs) == 1:
        return ["report", *verb.runs, "--data", *verb.data]
    return ["compare", "--runs", *verb.runs, "--data", *verb.data]


def _after_compare(verb: Any, result: Any) -> Words:
    """``result``: the best of the compared runs, if that is one with a detector."""
    return _with_run(result) if result else ["report", verb.out]


def _after_report(verb: Any, result: Any) -> Words:
    runs = [run for run in verb.runs if (without_size(run)[0] / "model.json").is_file()]
    return _with_pictures(runs[-1]) if runs else ["predict", "--help"]


def _with_pictures(run: Path) -> Words:
    words = _with_run(run)
    return words if words[0] == "predict" else ["predict", "--help"]


def _after_predict(verb: Any, result: Any) -> Words:
    from dmaskrcnn.run import open_run

    run = open_run(verb.run)
    if tests := _still_there(run, "test"):
        return ["evaluate", verb.run, "--data", *tests]
    return ["report", verb.run] if run.config else ["evaluate", verb.run, "--data", _Hint("TEST")]


def _after_inspect(verb: Any, result: Any) -> Words:
    """Labelled pictures are the source, others and videos the target. Of streams, whose addresses
    may hold a password, nothing is said. ``result``: whether labels have problems."""
    from dmaskrcnn.images.video_inputs import videos_at

    whole = ["--drop-invalid"] if result is True else []

    videos = {path: videos_at(path) for path in verb.paths}
    if any(video.kind != "file" for found in videos.values() for video in found):
        return []
    labelled = [path for path in verb.paths if _is_labelled(path, bool(videos[path]))]
    others = [path for path in verb.paths if path not in labelled]
    if labelled and others:
        return ["adapt", "--source", *labelled, "--target", *others, *whole]
    if labelled:
        return ["train", "--method", "source", "--source", *labelled, *whole]
    return ["dehaze", *others, "--out", "dehazed"]


def _is_labelled(path: str, has_videos: bool) -> bool:
    from dmaskrcnn.data.formats import find_format
    from dmaskrcnn.images.video_inputs import holds_pictures

    if has_videos and not holds_pictures(path):
        return False
    return find_format(Path(path)).name not in ("image folder", "image pattern", "single image")


def _inspect_output(verb: Any, result: Any) -> Words:
    return ["inspect", verb.out]


def _after_haze(verb: Any, result: Any) -> Words:
    return ["inspect", *(verb.out / f"visibility-{metres:g}" for metres in verb.visibility)]


def _after_gauge(verb: Any, result: Any) -> Words:
    return ["dehaze", *verb.images, "--out", "dehazed"]


def _after_train_dehazer(verb: Any, result: Any) -> Words:
    hazy = verb.clear or ("hazy/",)
    weights = ["--method", verb.method, "--weights", verb.out]
    return ["dehaze", *hazy, *weights, "--out", "dehazed"]


def _after_export(verb: Any, result: Any) -> Words:
    from dmaskrcnn.run import open_run

    pictures = _still_there(open_run(verb.run), "target") or [_Hint("PICTURES")]
    return ["predict", verb.out, *pictures, "--out", PICTURES]


def _still_there(run: Run, key: str) -> list[Path]:
    """The paths that a run remembers under this key, of those that exist."""
    return [_short(path) for path in run.config.get(key) or () if Path(str(path)).exists()]


def _short(path: object) -> Path:
    """A path that a run remembers, as seen from here."""
    path = Path(str(path))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


# By the name of the verb's class: naming the classes would import them all.
STEPS: dict[str, Callable[[Any, Any], Words]] = {
    "Demo": _after_demo,
    "TrainConfig": _after_training,
    "Resume": _after_training,
    "Evaluate": _after_evaluate,
    "Compare": _after_compare,
    "Reproduce": _after_compare,
    "Report": _after_report,
    "Predict": _after_predict,
    "Inspect": _after_inspect,
    "Dehaze": _inspect_output,
    "Haze": _after_haze,
    "TrainDehazer": _after_train_dehazer,
    "Gauge": _after_gauge,
    "Convert": _inspect_output,
    "Export": _after_export,
}
