"""The page: material in, one HTML file out that needs nothing but a browser.

    dmaskrcnn report runs/source-1 runs/grl-1 --data test/ --out report.html

Nothing is ever fetched: pictures, figures, styles and the script are in the file, and its
Content-Security-Policy forbids all else. What comes from files (names, paths, configurations) is
escaped as HTML or as JSON.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from dmaskrcnn.arrays import torch_or_none
from dmaskrcnn.compare.comparison import Comparison, load_comparison
from dmaskrcnn.data import open_images
from dmaskrcnn.device import resolve_device
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.text import SIZES_SAID
from dmaskrcnn.files import check_writable, write_text
from dmaskrcnn.output_folder import check_marked, mark
from dmaskrcnn.report.doubts import doubts
from dmaskrcnn.report.feature_figures import feature_figures
from dmaskrcnn.report.findings import (
    best_other,
    class_table,
    headline,
    remarks,
    size_table,
    table,
)
from dmaskrcnn.report.material import Material, check_runs, gather
from dmaskrcnn.report.pictures import as_json, controls, picture_data
from dmaskrcnn.report.provenance import provenance
from dmaskrcnn.report.score_figures import MOST_CLASSES, curve_figures, interval_figures
from dmaskrcnn.report.training_figures import training_figures
from dmaskrcnn.run import Run, open_run

MOST_BYTES = 2_800_000  # of a page with pictures: it can be sent by mail


def write_report(
    out: str | Path,
    runs: Sequence[str | Path] = (),
    comparison: Comparison | Callable[[], Comparison] | None = None,
    *,
    source: Sequence[Path] = (),
    target: Sequence[Path] = (),
    device: str = "auto",
) -> Path:
    """Write the page, from whatever there is to show.

    Args:
        out: the ``.html`` to write, or a folder for ``report.html``.
        runs: folders of training runs, COCO results JSON (with a comparison), or one folder of
            ``compare`` or ``reproduce``.
        comparison: scores of these and other runs, or what gives them: it is called once all else
            has been checked, so that nothing is scored for a page that cannot be written.
        source: clear images for the picture of the features; by default those of the runs, if they
            are still there.
        target: hazy images for it, read without any labels; by default likewise.
        device: ``auto``, ``cpu``, ``cuda``.

    Returns:
        ``out``.

    Raises:
        UserError: a missing run, a folder that is none of a run, ``out`` that cannot be written or
            is a file of somebody else.
    """
    if torch_or_none():
        resolve_device(device)
    opened = check_report(runs, scored=comparison is not None)
    if (holds := _comparison_in(opened)) is not None:
        comparison, opened = load_comparison(holds.path), []
    clear, hazy = (open_images(*paths) if paths else None for paths in (source, target))
    out = Path(out)
    out = out / "report.html" if out.is_dir() else out
    check_marked(out, "report")
    check_writable(out.parent)
    comparison = comparison() if callable(comparison) else comparison
    write_text(out, _page(gather(opened, comparison, clear, hazy, device)))
    return out


def check_report(runs: Sequence[str | Path], scored: bool) -> list[Run]:
    """The runs, if a page can be made of them.

    Args:
        runs: see `write_report`.
        scored: whether there will be scores of them.

    Raises:
        UserError: a missing run, a folder that is none of a run, nothing to show.
    """
    if not runs and not scored:
        raise UserError("report: give at least one run folder, or the folder of a comparison")
    opened = [open_run(run) for run in distinct(runs)]
    if (holds := _comparison_in(opened)) is None:
        check_runs(opened, scored)
    elif len(runs) > 1 or scored:
        raise UserError(
            f"{holds}: a comparison is reported alone, without other runs and without --data"
        )
    return opened


def _comparison_in(runs: Sequence[Run]) -> Run | None:
    return next((run for run in runs if (run.path / "comparison.json").is_file()), None)


def distinct(runs: Sequence[str | Path]) -> list[Path]:
    """Each run once: the page compares none with itself."""
    return list({Path(run).resolve(): Path(run) for run in reversed(runs)}.values())[::-1]


def default_out(runs: Sequence[Path]) -> Path:
    """``report.html``: in the folder, if there is but one, else here."""
    return runs[0] / "report.html" if len(runs) == 1 and runs[0].is_dir() else Path("report.html")


def _page(material: Material) -> str:
    pictures = picture_data(material)
    # first without the pictures' data: these get the room that is left
    sections = _sections(material, pictures)
    room = MOST_BYTES - sum(len(html.encode()) for _, _, html in sections)
    data = as_json(pictures, room)
    shown = [section for section in sections if section[2]]  # those that have something to say
    template = (Path(__file__).parent / "template.html").read_text(encoding="utf-8")
    # The page runs the script of this digest and no other: none from a name in somebody's data set.
    script = template.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = [group.name for group in material.groups]
    values = {
        "generator": mark("report"),  # the page may be overwritten by the next one
        "policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        "title": escape(" · ".join(names[:3]) + (" …" if len(names) > 3 else "")),
        "date": datetime.date.today().isoformat(),
        "headline": escape(headline(material)).replace(" %", "&nbsp;%"),
        "doubts": "".join(f'<p class="doubt">{escape(doubt)}</p>' for doubt in doubts(material)),
        "navigation": "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in shown),
        "sections": "".join(
            f'<section id="{key}"><h2>{title}</h2>{html}</section>' for key, title, html in shown
        ),
        "data": data,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _sections(material: Material, pictures: dict | None) -> list[tuple[str, str, str]]:
    """Key, title and HTML of each; empty where there is nothing to say."""
    return [
        ("scores", "Scores", _scores(material)),
        ("intervals", "Intervals", _grid(interval_figures(material))),
        ("curves", "Precision and recall", _precision_recall(material)),
        ("training", "Training", _grid(training_figures(material))),
        ("features", "Features", _features(material)),
        ("pictures", "Pictures", _pictures(material, pictures)),
        ("provenance", "What was run", provenance(material)),
    ]


def _grid(parts: Sequence[str]) -> str:
    """Figures side by side as far as there is room; what precedes them (a legend, a sentence)
    above."""
    if not parts:
        return ""
    above = "".join(part for part in parts if not part.startswith("<figure"))
    figures = "".join(part for part in parts if part.startswith("<figure"))
    return f'{above}<div class="figures">{figures}</div>'


def _scores(material: Material) -> str:
    comparison = material.comparison
    if comparison is None:
        return ""
    scores = _scroll(table(comparison).html("scores"))
    if sum(count > 0 for count in comparison.rows[0].scores.objects.values()) > 1:
        classes = _scroll(class_table(comparison).html("scores"))
        scores += f"<details><summary>AP50 per class</summary>{classes}</details>"
    if comparison.rows[0].scores.objects_by_size:
        sizes = _scroll(size_table(comparison).html("scores"))
        said = f"AP50 by size ({SIZES_SAID})"
        scores += f"<details><summary>{said}</summary>{sizes}</details>"
    notes = "".join(f"<p>{escape(note)}</p>" for note in comparison.notes)
    return f"{scores}<p>{remarks(comparison.rows)}</p>{notes}"


def _scroll(wide: str) -> str:
    return f'<div class="scroll" tabindex="0">{wide}</div>'


def _precision_recall(material: Material) -> str:
    figures = curve_figures(material)
    if not figures:
        return ""
    classes = sum(count > 0 for count in material.rows[0].scores.objects.values())
    left_out = f" The {MOST_CLASSES} most frequent of {classes} classes." * (classes > MOST_CLASSES)
    return (
        "<p>Boxes at IoU 0.5, all-point interpolation: the area under a curve is the AP50 of the "
        f"table.{left_out} Click a name to hide its curve.</p>{_grid(figures)}"
    )


def _features(material: Material) -> str:
    if not (figures := feature_figures(material)):
        return ""
    key = (
        '<p class="key"><span class="clear">●</span> clear source images <span '
        'class="hazy">▲</span> hazy target images</p>'
    )
    note = (
        "<p>Each dot is an image; principal components of both domains together, for each "
        "model on its own.</p>"
    )
    return _grid([figures[0], key, *figures[1:], note])


def _pictures(material: Material, content: dict | None) -> str:
    if content is None:
        return ""
    best = material.group_of(material.rows[best_other(material.rows)]) if material.rows else 1
    where = "test set" if material.test else "target" if material.target is not None else "source"
    several = any(len(group.runs) > 1 for group in material.groups)
    seeds = " Of several seeds, the first." * several
    dashed = " Dashed: true objects." if material.test else ""
    return (
        f"<p>Images at even steps through the {where}, chosen by nothing else.{seeds}{dashed} "
        "Click a picture to enlarge it.</p>"
        f'<div class="controls">{controls(content, best)}</div>'
        '<div class="legend" id="classes"></div><div id="grid"></div>'
        "<noscript>The pictures need JavaScript; it runs in this page alone and fetches "
        "nothing.</noscript>"
        '<dialog id="large"><button type="button" aria-label="close">×</button><div></div></dialog>'
    )
