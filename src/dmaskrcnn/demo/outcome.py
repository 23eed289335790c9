"""What the demo found: its tables, one sentence, and the picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from dmaskrcnn.compare.comparison import Comparison, Row
from dmaskrcnn.data import open_dataset, resize_to
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.draw import contact_sheet, draw_truth
from dmaskrcnn.evaluation.bootstrap import Difference
from dmaskrcnn.evaluation.scores import paired_difference
from dmaskrcnn.evaluation.text import Table, bounds, interval, is_clear, percent
from dmaskrcnn.files import atomic_write, save_picture_whole
from dmaskrcnn.runtime.exported import ExportedDetector

PICTURES = 3
DRAWN = 0.7  # least score, of all detectors alike; demos of Mask R-CNN have always drawn from there
LEADING = "box/AP50"
METRICS = {"box/AP50": "boxes", "mask/AP50": "masks"}
WIDTH = 79  # of a terminal
NOTE = (
    "AP50 in percent, with 95 % bootstrap intervals over {} test scenes; differences "
    "are paired. One training each."
)
Scores = Mapping[str, Comparison]  # by air: clear, hazy


def tables(scores: Scores, names: Mapping[str, str], markdown: bool = False) -> str:
    """A row per run and one per difference to the first: for a terminal boxes above masks, so that
    it fits; for Markdown side by side."""
    note = NOTE.format(scores["hazy"].rows[0].scores.images)
    if markdown:
        return f"{_table(scores, names, METRICS).markdown()}\n\n{note}"
    parts = [_table(scores, names, {key: METRICS[key]}).text() for key in METRICS]
    return "\n\n".join([*parts, fill(note)])


def _table(scores: Scores, names: Mapping[str, str], metrics: Mapping[str, str]) -> Table:
    columns = [(air, metric) for air in ("clear", "hazy") for metric in metrics]
    rows = [["", *(f"{air}, {metrics[metric]}" for air, metric in columns)]]
    numbers = range(len(scores["hazy"].rows))
    for i in numbers:
        cells = (interval(scores[air].rows[i].scores[metric]) for air, metric in columns)
        rows.append([_name(scores["hazy"].rows[i], names), *cells])
    for i in numbers[1:]:
        gains = {air: _difference(comparison, i) for air, comparison in scores.items()}
        cells = (interval(gains[air][metric]) for air, metric in columns)
        rows.append([f"{rows[i + 1][0]} − {rows[1][0]}", *cells])
    return Table(rows)


def verdict(scores: Scores, names: Mapping[str, str]) -> str:
    """What was found, in one sentence: the best in haze against the baseline, and what it costs in
    clear air."""
    rows = scores["hazy"].rows
    best = max(range(1, len(rows)), key=lambda i: rows[i].scores[LEADING].value)
    gain = _difference(scores["hazy"], best)[LEADING]
    name, first = _name(rows[best], names), _name(rows[0], names)
    found = (
        "finds more in haze than" if gain.low > 0 else "gains nothing that is clear in haze over"
    )
    text = (
        f"The {name} {found} the {first}: box AP50 {percent(rows[0].scores[LEADING])} → "
        f"{percent(rows[best].scores[LEADING])} %, {percent(gain)} points {bounds(gain)}; "
        f"{_in_clear_air(_difference(scores['clear'], best)[LEADING])}."
    )
    return text.replace("The DMask", "DMask")


def clear_note(scores: Scores, names: Mapping[str, str]) -> str:
    """What the page about haze says of clear air."""
    rows = scores["clear"].rows
    parts = [f"{_name(rows[0], names)} {percent(rows[0].scores[LEADING])} %"]
    for i in range(1, len(rows)):
        gain = _difference(scores["clear"], i)[LEADING]
        parts.append(f"{_name(rows[i], names)} {percent(gain)} points {bounds(gain)}")
    return f"The same streets in clear air, box AP50: {'; '.join(parts)}."


def _in_clear_air(gain: Difference) -> str:
    numbers = f"{percent(gain)} points {bounds(gain)}"
    if is_clear(gain):
        return f"in clear air it {'gains' if gain.value > 0 else 'pays'} {numbers}"
    return f"in clear air no difference is shown, {numbers}"


def _difference(comparison: Comparison, row: int) -> dict[str, Difference]:
    return paired_difference(comparison.rows[0].scores, comparison.rows[row].scores)


def _name(row: Row, names: Mapping[str, str]) -> str:
    return names.get(row.name, row.name)


def fill(text: str) -> str:
    """The text in lines that a terminal has room for."""
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def pictures(
    detectors: Mapping[str, Detector | ExportedDetector], tests: Mapping[str, Path], out: Path
) -> None:
    """The first test scenes: the truth in clear air, and what each detector finds in haze."""
    clear, hazy = (open_dataset(path) for path in tests.values())
    drawn = []
    for index in range(min(PICTURES, len(hazy))):
        # lines and letters become finer
        street, haze = (resize_to(data.load(index), 336, 336) for data in (clear, hazy))
        assert street.objects is not None
        drawn.append(draw_truth(street.image, street.objects, clear.classes))
        for detector in detectors.values():
            found = detector.predict(hazy.picture(index), threshold=DRAWN)
            drawn.append(_enlarge(found, *haze.image.shape[1:]).draw(haze.image))
    heads = [f"in haze, from {DRAWN:g}: {name}" for name in detectors]
    heads.insert(0, "the street in clear air, and the truth")
    sheet = contact_sheet(drawn, len(heads), heads)
    atomic_write(out, lambda path: save_picture_whole(sheet, path, format="JPEG", quality=80))


def _enlarge(found: Detections, height: int, width: int) -> Detections:
    """The same detections in the pixels of the same image at another size."""
    scale = torch.tensor([width / found.width, height / found.height] * 2)
    masks = resize(found.masks, [height, width], InterpolationMode.NEAREST)
    return replace(found, boxes=found.boxes * scale, masks=masks)
