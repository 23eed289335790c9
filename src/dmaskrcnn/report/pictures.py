"""Pictures with what each run found in them, as data that the page's script draws."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data import Annotations, Dataset, canonical, decode_image
from dmaskrcnn.data.contours import mask_polygons
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.readable import decodable
from dmaskrcnn.detections import Detections
from dmaskrcnn.draw import as_picture, instance_colours
from dmaskrcnn.images.dehazed_set import dehazed_paths
from dmaskrcnn.report.feature_figures import spread_out
from dmaskrcnn.report.material import Material

if TYPE_CHECKING:
    from torch import Tensor

PICTURES = 6
LONG_SIDE = 512  # pixels of an embedded picture
JPEG_QUALITY = 78  # a fog photograph of DAWN takes 16 kB of the page (median of 13); at 90, 26 kB
LOWEST_SCORE = 0.05  # what detectors return at all (`DetectorConfig.min_score`)
MOST_OBJECTS = 60  # per picture and row, the most certain ones
# Pictures and objects that are left where the page has no room for more: all pictures with fewer
# objects first, then fewer pictures.
STEPS = ((6, 30), (6, 15), (4, 15), (4, 8), (2, 8), (2, 4), (1, 4))


class Frame(NamedTuple):
    """Of an embedded picture: its size, and its pixels per pixel of the image."""

    height: int
    width: int
    x: float
    y: float

    @classmethod
    def of(cls, image: Tensor) -> Frame:
        """For an image; never enlarged."""
        width, height = as_picture(image).size
        scale = min(1.0, LONG_SIDE / max(height, width))
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        return cls(rows, columns, columns / width, rows / height)


def picture_data(material: Material) -> dict[str, Any] | None:
    """The pictures, detections and true objects for the page's script; None where there is nothing
    to show.

    The pictures are evenly spread over the test set; without one, over the target or else the
    source images, on which the detectors run here.

    Returns:
        In pixels of the embedded pictures::

            {"pictures": [{"name", "width", "height", "images": {dehaze: data URI},
                           "truth": [object] or null}],
             "rows": [{"group": index, "dehaze", "found": [[object] per picture]}],
             "groups": [name]}

        where an object is
        ``{"n": name, "s": score, "c": colour, "b": [x1, y1, x2, y2], "m": ["x,y x,y …"]}``.
    """
    test = material.test
    data = test.data if test else material.target or material.source
    if not data or not (test or any(group.model for group in material.groups)):
        return None
    indices = decodable(data, spread_out(len(data), PICTURES))
    if not indices:
        return None
    images = [data.picture(index) for index in indices]
    frames = [Frame.of(image) for image in images]
    dehazed = material.comparison.images if test and material.comparison else {}
    classes = list(data.classes)  # first, so that a class has one colour in all rows
    return {
        "pictures": [
            _picture(data, index, image, frame, dehazed, classes)
            for index, image, frame in zip(indices, images, frames, strict=True)
        ],
        "rows": [
            {
                "group": group,
                "dehaze": dehaze,
                "found": [_found(*one, classes) for one in zip(results, frames, strict=True)],
            }
            for group, dehaze, results in _results(material, indices, images)
        ],
        "groups": [group.name for group in material.groups],
    }


def as_json(content: dict[str, Any] | None, room: float = math.inf) -> str:
    """The data for the page's script in at most ``room`` letters, or in as few as can be: with
    fewer objects, the most certain ones, and fewer pictures. ``content`` is cut likewise."""
    text = _compact(content)
    for pictures, objects in STEPS if content else ():
        if len(text) <= room:
            break
        assert content is not None
        content["pictures"] = content["pictures"][:pictures]
        for row in content["rows"]:
            row["found"] = [found[:objects] for found in row["found"][:pictures]]
        text = _compact(content)
    return text


def _compact(content: dict[str, Any] | None) -> str:
    # "<" ends no script element if there is none in it.
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _results(
    material: Material, indices: Sequence[int], images: Sequence[Tensor]
) -> Iterator[tuple[int, str, list[Detections]]]:
    """Of each row the index of its runs, what the images went through, and the detections in them:
    those of its first seed that were scored, or else of a detector that looks at them now."""
    if material.test:
        for row in material.rows:
            results = material.test.results(row.predictions[0])
            yield material.group_of(row), row.dehaze, [results[index] for index in indices]
        return
    for number, group in enumerate(material.groups):
        if group.model is not None:
            detector = group.model.detector(material.device)
            yield number, "none", [detector.predict(image, LOWEST_SCORE) for image in images]


def controls(content: dict[str, Any], best: int) -> str:
    """The switches above the pictures, as HTML.

    Args:
        content: from `picture_data`.
        best: the group of runs to show beside the first.
    """
    names = {"none": "none"} | {key: name.label for key, name in DEHAZERS.items()}
    hazes = [d for d in names if all(d in p["images"] for p in content["pictures"])]
    groups = {row["group"]: content["groups"][row["group"]] for row in content["rows"]}
    first, *others = groups
    parts = []
    if len(hazes) > 1:
        parts.append(_select("dehazing", "dehaze", {d: names[d] for d in hazes}))
    parts.append(_select("compare", "left", groups, first))
    if others:
        parts.append(_select("with", "right", groups, best if best in groups else others[-1]))
    parts.append(
        '<label>score at least <output id="score">0.50</output> '
        f'<input id="threshold" type="range" min="{LOWEST_SCORE}" max="0.95" step="0.05" '
        'value="0.5"></label>'
    )
    if any(p["truth"] is not None for p in content["pictures"]):
        parts.append('<label><input id="truth" type="checkbox"> true objects</label>')
    return "".join(parts)


def _select(word: str, key: str, options: Mapping[Any, str], chosen: object = None) -> str:
    """Hidden where there is nothing to choose: the script still reads its value."""
    choices = "".join(
        f'<option value="{value}"{" selected" * (value == chosen)}>{escape(name)}</option>'
        for value, name in options.items()
    )
    hidden = " hidden" * (len(options) == 1)
    return f'<label{hidden}>{word} <select id="{key}">{choices}</select></label>'


def _picture(
    data: Dataset,
    index: int,
    image: Tensor,
    frame: Frame,
    dehazed: Mapping[str, Path],
    classes: list[str],
) -> dict[str, Any]:
    files = {dehaze: dehazed_paths(data, folder)[index] for dehaze, folder in dehazed.items()}
    images = {"none": _jpeg(image, frame)} | {
        dehaze: _jpeg(decode_image(file), frame) for dehaze, file in files.items() if file.is_file()
    }
    truth = _truth(data.annotations(index), frame, classes) if data.labelled else None
    size = {"width": frame.width, "height": frame.height}
    return {"name": data.paths[index].name, **size, "images": images, "truth": truth}


def _jpeg(image: Tensor, frame: Frame) -> str:
    picture = as_picture(image).resize((frame.width, frame.height), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _found(found: Detections, frame: Frame, classes: list[str]) -> list[dict[str, Any]]:
    found = found.above(LOWEST_SCORE)[:MOST_OBJECTS]
    entries = _entries(found.boxes, found.packed, found.names, frame, classes)
    for entry, score in zip(entries, found.scores.tolist(), strict=True):
        entry["s"] = round(score, 3)
    return entries


def _truth(objects: Annotations, frame: Frame, classes: list[str]) -> list[dict[str, Any]]:
    names = [classes[label] for label in objects.labels.tolist()]
    entries = _entries(objects.boxes, objects.packed, names, frame, classes)
    flags = zip(objects.crowd.tolist(), objects.difficult.tolist(), strict=True)
    for entry, (crowd, difficult) in zip(entries, flags, strict=True):
        entry["n"] += " (crowd)" * crowd + " (difficult)" * difficult
    return entries


def _entries(
    boxes: Tensor, masks: PackedMasks, names: Sequence[str], frame: Frame, classes: list[str]
) -> list[dict[str, Any]]:
    """Name, colour (as in every drawn picture), box and outline of each object. Classes that only
    this detector knows join ``classes``."""
    known = [canonical(name) for name in names]
    classes += [name for name in dict.fromkeys(known) if name not in classes]
    colours = instance_colours(np.array(list(map(classes.index, known)), dtype=np.int64))
    entries = []
    for name, colour, box, mask in zip(
        names, colours, boxes.tolist(), masks.each_frame(), strict=True
    ):
        polygons = mask_polygons(mask, frame.height, frame.width) if mask.size else []
        entries.append(
            {
                "n": name,
                "c": "#" + bytes(colour).hex(),
                "b": [round(value * (frame.x, frame.y)[k % 2], 1) for k, value in enumerate(box)],
                "m": [" ".join(f"{x:.1f},{y:.1f}" for x, y in polygon) for polygon in polygons],
            }
        )
    return entries
