"""The result of `dmaskrcnn compare`: rows of scores, and how they are kept on disk.

``comparison.json`` holds everything but the resamples behind the intervals, which lie beside it in
``comparison.safetensors`` (float64, ``row number/metric``), so that differences and reports can be
made again without the test set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from dmaskrcnn.compare.groups import RunGroup
from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.orientation import Orientation
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.evaluation.bootstrap import Difference, Metric
from dmaskrcnn.evaluation.labelled import TestSet
from dmaskrcnn.evaluation.scores import Scores, paired_difference
from dmaskrcnn.fields import convert
from dmaskrcnn.files import MOST_DATA, check_writable, file_digest, read_json
from dmaskrcnn.output_folder import OutputFolder, check_marked, index_format
from dmaskrcnn.run import open_run

INDEX, RESAMPLES = "comparison.json", "comparison.safetensors"


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Attributes:
        group: the run, or the seeds of one method, which are averaged.
        dehaze: what the test images went through: "none" or one of `DEHAZERS`.
        predictions: a COCO results JSON per run.
        scores: mean over the seeds, resampled over images and seeds.
        seconds_per_image: dehazing and detection of one image, from pixels to masks, median over
            images and seeds; NaN for predictions that were made elsewhere.
        published: in a reproduction, the paper's number: authors' metric on RTTS, in [0, 1].
    """

    group: RunGroup
    dehaze: str
    predictions: tuple[Path, ...]
    scores: Scores
    seconds_per_image: float
    published: float | None = None

    @property
    def name(self) -> str:
        """As shown, such as "MSCNN + grl"."""
        return row_name(self.group, self.dehaze)


def row_name(group: RunGroup, dehaze: str) -> str:
    """The name of a row: the dehazing, if there is any, and the runs."""
    return group.name if dehaze == "none" else f"{DEHAZERS[dehaze].label} + {group.name}"


@dataclass(frozen=True)
class Comparison:
    """All rows; the first is what the others are compared with.

    Attributes:
        rows: at least one.
        data: the labelled test set.
        images: per dehazing method the folder with the test images as the detector saw them ("none"
            is not in it); see `dmaskrcnn.images.dehazed_set.dehazed_paths` for the names.
        out: the folder of comparison.csv, comparison.md, comparison.json and report.html.
        notes: sentences that belong below the table.
        orientation: of the boxes of the test set, as of `open_dataset`.
        test: the test set, where it is open; this is not written.
    """

    rows: tuple[Row, ...]
    data: tuple[Path, ...]
    images: dict[str, Path]
    out: Path
    notes: tuple[str, ...] = ()
    orientation: Orientation = "auto"
    test: TestSet | None = field(default=None, compare=False, repr=False)

    def differences(self) -> list[dict[str, Difference]]:
        """Per row the paired difference to the first, by metric; nothing for the first itself."""
        return [{}, *(paired_difference(self.rows[0].scores, row.scores) for row in self.rows[1:])]


def check_out(out: Path) -> None:
    """Raises UserError where the folder cannot be written to, or holds files of our names that are
    not ours."""
    names = (RESAMPLES, "comparison.csv", "comparison.md")
    OutputFolder(out, "compare", INDEX).claim(map(Path, names), rename=False)
    check_marked(out / "report.html", "report")
    check_writable(out)


def save_comparison(
    comparison: Comparison, tables: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write ``comparison.json``, ``comparison.safetensors``, and the tables: text by file name.
    Raises UserError where they cannot be written."""
    from safetensors.numpy import save_file

    out = comparison.out
    replicates = {
        f"{number}/{name}": metric.replicates
        for number, row in enumerate(comparison.rows)
        for name, metric in row.scores.metrics.items()
        if len(metric.replicates)
    }
    output = OutputFolder(out, "compare", INDEX)
    resamples, *files = output.claim(map(Path, (RESAMPLES, *tables)), rename=False)
    output.begin({})
    output.write(resamples, lambda path: save_file(replicates, path))
    for file in files:
        output.write_text(file, tables[file.name])
    rows = [
        {
            "name": row.name,
            "group": row.group.name,
            "runs": [_relative(run.address, out) for run in row.group.runs],
            "dehaze": row.dehaze,
            "predictions": [_relative(path, out) for path in row.predictions],
            "seconds_per_image": None
            if math.isnan(row.seconds_per_image)
            else row.seconds_per_image,
            "published": row.published,
            "scores": {"fingerprint": row.scores.fingerprint, **row.scores.to_dict()},
            "difference_to_first": {
                name: _numbers(difference) for name, difference in differences.items()
            },
        }
        for row, differences in zip(comparison.rows, comparison.differences(), strict=True)
    ]
    content = {
        "data": [_relative(path, out) for path in comparison.data],
        "images": {method: _relative(folder, out) for method, folder in comparison.images.items()},
        "resamples": file_digest(resamples),
        "notes": comparison.notes,
        "orientation": comparison.orientation,
        "rows": rows,
    }
    output.end(content)


def load_comparison(out: Path) -> Comparison:
    """What ``save_comparison`` wrote into ``out``. Raises UserError for files that are missing,
    damaged or not from one run."""
    from safetensors.numpy import load_file

    out = Path(out)
    path = out / INDEX
    try:
        content = read_json(path, MOST_DATA)
        if content["format"] != index_format("compare"):
            raise ValueError(f"its format is {content['format']!r}")
        if not content["complete"]:
            raise ValueError("its run was interrupted")
        if file_digest(out / RESAMPLES) != content["resamples"]:
            raise ValueError("comparison.safetensors beside it is of another comparison")
        replicates = load_file(out / RESAMPLES)
        rows = [_row(row, number, replicates, out) for number, row in enumerate(content["rows"])]
        if not rows:
            raise ValueError("it has no rows")
        return Comparison(
            tuple(rows),
            tuple(out / name for name in convert(content["data"], tuple[str, ...])),
            {k: out / convert(v, str) for k, v in content["images"].items() if k in DEHAZERS},
            out,
            convert(content["notes"], tuple[str, ...]),
            convert(content.get("orientation", "auto"), Orientation),  # there was none before
        )
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; name the folder of `dmaskrcnn compare`") from error
    except Exception as error:  # safetensors raises errors of its own
        reason = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise UserError(
            f"{path}: not a readable comparison ({reason}); run `dmaskrcnn compare` again"
        ) from error


def _row(row: dict[str, Any], number: int, replicates: Mapping[str, np.ndarray], out: Path) -> Row:
    dehaze = convert(row["dehaze"], str)
    if dehaze not in ("none", *DEHAZERS):
        raise ValueError(f"{dehaze!r} is no way to dehaze")
    seconds = _number(row["seconds_per_image"])
    published = row["published"]
    return Row(
        RunGroup(
            convert(row["group"], str),
            tuple(open_run(out / run) for run in convert(row["runs"], tuple[str, ...])),
        ),
        dehaze,
        tuple(out / file for file in convert(row["predictions"], tuple[str, ...])),
        _scores(row["scores"], number, replicates),
        seconds,
        None if published is None else convert(published, float),
    )


def _scores(values: dict[str, Any], number: int, replicates: Mapping[str, np.ndarray]) -> Scores:
    metrics = {}
    for name, numbers in values["metrics"].items():
        value, low, high = (_number(numbers[key]) for key in ("value", "low", "high"))
        metrics[name] = Metric(value, low, high, replicates.get(f"{number}/{name}", np.empty(0)))
    if missing := {"voc/AP50", "box/AP", "legacy/mAP"} - set(metrics):
        raise KeyError(min(missing))
    images = convert(values["images"], int)
    return Scores(
        metrics,
        {name: convert(count, int) for name, count in values["objects"].items()},
        images,
        convert(values["bootstrap"], int),
        convert(values["seed"], int),
        convert(values["fingerprint"], str),
        convert(values.get("groups", images), int),  # comparisons of before had no groups
        convert(values.get("grouping", ""), str),
        {
            size: {name: convert(count, int) for name, count in objects.items()}
            for size, objects in values.get("objects_by_size", {}).items()
        },
    )


def _number(value: Any) -> float:
    """JSON has no NaN."""
    return math.nan if value is None else convert(value, float)


def _numbers(difference: Difference) -> dict[str, float | None]:
    values = {key: getattr(difference, key) for key in ("value", "low", "high", "share_above_zero")}
    return {key: None if math.isnan(value) else float(value) for key, value in values.items()}


def _relative(path: Path, out: Path) -> str:
    """Relative to ``out`` where the path lies in it, so that the folder can be moved; otherwise
    absolute."""
    path, out = path.resolve(), out.resolve()
    return (path.relative_to(out) if path.is_relative_to(out) else path).as_posix()
