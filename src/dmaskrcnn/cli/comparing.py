"""The verbs that score: from their dataclasses to the functions behind them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dmaskrcnn.cli.flags import refuse
from dmaskrcnn.cli.verbs import Compare, Evaluate, Report, Reproduce
from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.errors import UserError

if TYPE_CHECKING:
    from dmaskrcnn.compare.comparison import Comparison


def evaluate_verb(verb: Evaluate) -> None:
    """Score runs one after the other, and their differences to the first."""
    from dmaskrcnn.evaluation.by_size import size_table
    from dmaskrcnn.evaluation.evaluate import evaluate_to, output_folders, summary
    from dmaskrcnn.evaluation.labelled import open_shared_test_set
    from dmaskrcnn.evaluation.scores import paired_difference
    from dmaskrcnn.evaluation.text import scores_table
    from dmaskrcnn.run import open_run

    if not verb.runs:
        raise UserError("evaluate: give at least one run folder or COCO results JSON")
    runs = [open_run(run) for run in verb.runs]
    test = open_shared_test_set(runs, verb.data, verb.classes, verb.groups, verb.orientation)
    all_scores = []
    for run, out in zip(runs, output_folders(runs, verb.data, verb.out), strict=True):
        scores = evaluate_to(
            out,
            run,
            test,
            batch_size=verb.batch_size,
            bootstrap=verb.bootstrap,
            seed=verb.seed,
            device=verb.device,
            by_size=verb.by_size,
        )
        print(summary(run, scores, out))
        if verb.by_size:
            print(f"{size_table(scores.metrics, scores.objects_by_size, 'by size')}\n")
        all_scores.append(scores)
    for run, scores in zip(runs[1:], all_scores[1:], strict=True):
        try:
            differences = paired_difference(all_scores[0], scores)
        except ValueError as error:
            raise UserError(f"{run} against {runs[0]}: {error}") from error
        table = scores_table(differences, scores.objects, scores.drawn)
        print(f"{run} against {runs[0]}\n{table}\n")
        if verb.by_size:
            title = "differences in points by size"
            print(f"{size_table(differences, scores.objects_by_size, title)}\n")


def report_verb(verb: Report) -> None:
    """Write the page; score first where there is a test set."""
    import tempfile

    from dmaskrcnn.compare.rows import score_runs
    from dmaskrcnn.evaluation.labelled import open_shared_test_set
    from dmaskrcnn.report import check_report, default_out, write_report

    if verb.by_size and not verb.data:
        raise UserError(
            "--by-size scores, so it needs --data; a comparison has sizes from `compare --by-size`"
        )
    if not verb.data:
        refuse(verb, "without --data: add that, or leave it out", "groups", "orientation")
    out = verb.out or default_out(verb.runs)
    runs = check_report(verb.runs, scored=bool(verb.data))
    if verb.data:  # what is wrong with it shows before a folder is made for the page
        open_shared_test_set(runs, verb.data, (), verb.groups, verb.orientation)
    with tempfile.TemporaryDirectory() as scratch:

        def scored() -> Comparison:
            return score_runs(
                [run.address for run in runs],
                verb.data,
                Path(scratch),
                verb.device,
                verb.groups,
                verb.orientation,
                verb.by_size,
            )

        print(
            write_report(
                out,
                verb.runs,
                scored if verb.data else None,
                source=verb.source,
                target=_pictures(verb.target, Path(scratch)),
                device=verb.device,
            )
        )


def compare_verb(verb: Compare) -> Path | None:
    """Score every run with every dehazing, and write the report; the best run, see `_show`."""
    networks = {DEHAZERS[name].network for name in verb.dehaze if name in DEHAZERS}
    for name, network in (("mscnn_weights", "mscnn"), ("aod_net_weights", "aod-net")):
        if network not in networks:
            refuse(verb, f"without --dehaze {network}: add that, or leave it out", name)
    from dmaskrcnn.compare.rows import compare

    return _show(
        compare(
            verb.runs,
            verb.data,
            verb.dehaze,
            verb.out,
            classes=verb.classes,
            by_size=verb.by_size,
            groups=verb.groups,
            orientation=verb.orientation,
            bootstrap=verb.bootstrap,
            mscnn_weights=verb.mscnn_weights,
            aod_net_weights=verb.aod_net_weights,
            device=verb.device,
        ),
        verb.device,
    )


def reproduce_verb(verb: Reproduce) -> Path | None:
    """Make the paper's table, and write the report; the best run, see `_show`."""
    from dmaskrcnn.compare.reproduce import reproduce

    comparison = reproduce(
        verb.source,
        _pictures(verb.target, verb.out),
        verb.test,
        budget=verb.budget,
        seeds=verb.seeds,
        preset=verb.preset,
        weights=verb.weights,
        clear=verb.clear,
        drop_invalid=verb.drop_invalid,
        out=verb.out,
        groups=verb.groups,
        orientation=verb.orientation,
        bootstrap=verb.bootstrap,
        mscnn_weights=verb.mscnn_weights,
        aod_net_weights=verb.aod_net_weights,
        device=verb.device,
        max_pixels=verb.max_pixels,
        images=verb.images,
    )
    return _show(comparison, verb.device)


def _pictures(target: Sequence[Path], out: Path) -> tuple[Path, ...]:
    """The target with frames in the place of videos, in a folder of ``out``."""
    if not target:
        return ()
    from dmaskrcnn.config.train import TrainConfig
    from dmaskrcnn.training.target_videos import target_with_frames

    return target_with_frames(target, out, TrainConfig.target_every)


def _show(comparison: Comparison, device: str) -> Path | None:
    """The table on the terminal, and the report beside the files of the comparison; the run folder
    of the best row, if there is one."""
    from dmaskrcnn.compare.tables import terminal
    from dmaskrcnn.report import write_report
    from dmaskrcnn.report.findings import best_row

    print("writing the report: figures, features and pictures", file=sys.stderr, flush=True)
    report = write_report(comparison.out, (), comparison, device=device)
    print(f"{terminal(comparison)}\n\nreport: {report}\n{comparison.out}", flush=True)
    best = comparison.rows[best_row(comparison.rows)].group.model
    return best.address if best else None
