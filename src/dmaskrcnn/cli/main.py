"""The command line: verbs to functions, nothing else. Imports no torch, so that ``--help`` answers
at once."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path

from dmaskrcnn.cli.arguments import parse
from dmaskrcnn.cli.clustering import haze_on_cluster
from dmaskrcnn.cli.comparing import compare_verb, evaluate_verb, report_verb, reproduce_verb
from dmaskrcnn.cli.dehazing import dehaze_verb
from dmaskrcnn.cli.ending import errors_in_one_line, termination_as_interrupt
from dmaskrcnn.cli.export_verb import Export
from dmaskrcnn.cli.exporting import export_verb
from dmaskrcnn.cli.flags import ReadsLabels, ReadsPictures
from dmaskrcnn.cli.gauge_verb import Gauge
from dmaskrcnn.cli.inspecting import convert_verb, inspect_verb
from dmaskrcnn.cli.label_verbs import Convert, Inspect
from dmaskrcnn.cli.next_step import say_next
from dmaskrcnn.cli.picture_verbs import Predict
from dmaskrcnn.cli.predicting import predict_verb
from dmaskrcnn.cli.serve_verbs import App, Serve
from dmaskrcnn.cli.serving import app_verb, gauge_verb, serve_verb
from dmaskrcnn.cli.terminal import harmless_output, quiet_libraries, speak_warnings
from dmaskrcnn.cli.training import parse_training
from dmaskrcnn.cli.training_verbs import Adapt, Resume, Train
from dmaskrcnn.cli.verbs import (
    Compare,
    Dehaze,
    Demo,
    Evaluate,
    Haze,
    Report,
    Reproduce,
    TrainDehazer,
    Verbs,
)
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError, check_torch_pair


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Bad input ends in one line on stderr and exit code 2; Ctrl-C in 130."""
    if arguments is None:  # the program, and no test or script
        quiet_libraries()
        speak_warnings()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    may_end = arguments[:1] not in (["train"], ["adapt"])
    with errors_in_one_line("dmaskrcnn"), termination_as_interrupt(enabled=may_end):
        try:
            _dispatch(arguments)
        except RuntimeError as error:
            check_torch_pair(error)
            raise
        finally:
            sys.stdout.flush()  # here, where an error can still be reported


def _dispatch(arguments: list[str]) -> None:
    if arguments[:1] == ["--version"]:
        from dmaskrcnn.version import __version__

        print(f"dmaskrcnn {__version__}")
        return
    if arguments[:1] in (["train"], ["adapt"]):
        verb = Train if arguments[0] == "train" else Adapt
        run: object = parse_training(verb, arguments[1:])
    else:
        run = parse(Verbs, arguments or ["--help"], "dmaskrcnn", _DESCRIPTION)
    with harmless_output(), _arrays_of(run):
        if isinstance(run, ReadsPictures):
            from dmaskrcnn.data.image import set_max_pixels

            set_max_pixels(run.max_pixels)
        if isinstance(run, ReadsLabels):
            from dmaskrcnn.data.coco_images import set_image_folders

            set_image_folders(run.images)
        say_next(run, _VERBS[type(run)](run))


def _arrays_of(verb: object) -> AbstractContextManager[None]:
    """Without PyTorch where no network runs: a second instead of several, for labels and pictures
    alone, and for detections that are there already."""
    alone = isinstance(verb, (Inspect, Convert))
    if isinstance(verb, (Compare, Evaluate, Report)) and verb.runs:
        from dmaskrcnn.run import open_run

        alone = all(open_run(run).is_results for run in verb.runs)
    if not alone:
        return nullcontext()
    from dmaskrcnn.arrays import arrays_alone

    return arrays_alone()


_DESCRIPTION = (
    "Adapt a Mask R-CNN from labelled clear images to unlabelled hazy ones, and "
    "measure what it gains.\n\n"
    "`dmaskrcnn --version` says the version; `dmaskrcnn --tyro-print-completion bash` "
    "(or zsh, tcsh) prints what completes verbs and options with the tab key."
)


def _demo(verb: Demo) -> None:
    from dmaskrcnn.demo.demo import demo
    from dmaskrcnn.report import write_report

    demo(verb.out, verb.seed, report=lambda path, scores: write_report(path, (), scores))


def _train(config: TrainConfig) -> Path:
    from dmaskrcnn.training.loop import train

    return _said(train(config))


def _resume(verb: Resume) -> Path:
    from dmaskrcnn.training.loop import resume

    return _said(resume(verb.resume))


def _said(folder: Path) -> Path:
    if os.environ.get("RANK", "0") == "0":  # one of the processes of torchrun speaks
        print(folder, flush=True)
    return folder


def _haze(verb: Haze) -> None:
    from dmaskrcnn.haze.depth_maps import open_depth_maps
    from dmaskrcnn.images.haze import HazeConditions, haze_images

    verb.check_cluster()
    maps = open_depth_maps(verb.depth, verb.depth_scale, verb.disparity, verb.focal_baseline)
    conditions = HazeConditions(
        verb.visibility, maps, verb.airlight, verb.inhomogeneity, verb.focal, verb.seed
    )
    if verb.cluster:
        return haze_on_cluster(verb, conditions)
    print(haze_images(verb.inputs, verb.out, conditions, verb.drop_invalid))


def _train_dehazer(verb: TrainDehazer) -> None:
    from dmaskrcnn.dehazing.train_dehazer import train_dehazer
    from dmaskrcnn.demo.scenes import rendered_pictures
    from dmaskrcnn.device import resolve_device
    from dmaskrcnn.images.photographs import photographs

    if verb.scenes < 0:
        raise UserError("--scenes must be at least 0")
    words = ["dmaskrcnn", "train-dehazer", "--method", verb.method]
    words += ["--clear", *(folder.name for folder in verb.clear)] if verb.clear else []
    words += f"--scenes {verb.scenes} --steps {verb.steps}".split()
    words += f"--batch-size {verb.batch_size} --seed {verb.seed}".split()
    print(
        train_dehazer(
            verb.method,
            verb.out,
            chain(photographs(verb.clear), rendered_pictures(verb.scenes, verb.seed)),
            verb.steps,
            verb.batch_size,
            verb.seed,
            resolve_device(verb.device),
            command=shlex.join(words),
        )
    )


_VERBS = {
    TrainConfig: _train,
    Resume: _resume,
    Demo: _demo,
    Evaluate: evaluate_verb,
    Report: report_verb,
    Compare: compare_verb,
    Reproduce: reproduce_verb,
    Predict: predict_verb,
    Serve: serve_verb,
    App: app_verb,
    Gauge: gauge_verb,
    Inspect: inspect_verb,
    Convert: convert_verb,
    Dehaze: dehaze_verb,
    Haze: _haze,
    TrainDehazer: _train_dehazer,
    Export: export_verb,
}
