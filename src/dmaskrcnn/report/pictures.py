"""Pictures with what each run found in them, as data that the page's script draws."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data import Annotations, Dataset, canonical, decode_image
from dmaskrcnn.detections import Detections
from dmaskrcnn.draw import as_picture, instance_colours
from dmaskrcnn.evaluation.labelled import TestSet
from dmaskrcnn.images.dehazed_set import dehazed_paths
from dmaskrcnn.report.contours import mask_polygons
from dmaskrcnn.report.feature_figures import spread_out
from dmaskrcnn.report.material import Material

PICTURES = 6
LONG_SIDE = 512  # pixels of an embedded picture
JPEG_QUALITY = 78
LOWEST_SCORE = 0.05
MOST_OBJECTS = 60  # per picture and row, the most certain ones


def picture_data(material: Material) -> dict[str, Any] | None:
    """The pictures, detections and true objects for the page's script; None where there is nothing
    to show.

    The pictures are evenly spread over the test set; without one, over the target or else the
    source images, on which the detectors run here.

    Returns:
        ``{"pictures": [{"name", "width", "height", "images": {dehaze: data URI}, "truth": [object]
        or null}], "rows": [{"group": index, "dehaze", "found": [[object] per picture]}],
        "groups": [name]}``, where an object is ``{"n": name, "s": score, "c": colour, "b": [x1,
        y1, x2, y2], "m": ["x,y x,y …"]}`` in pixels of the embedded picture.
    """
    data = material.test.data if material.test else material.target or material.source
    if data is None or not len(data):
        return None
    if not material.test and not any(group.model for group in material.groups):
        return None
    indices = spread_out(len(data), PICTURES)
    classes: list[str] = list(data.classes)
    images = [data.load(index).image for index in indices]
    pictures = [
        _picture(image, data, index, material, classes)
        for image, index in zip(images, indices, strict=True)
    ]
    sizes = [(p["height"], p["width"]) for p in pictures]
    found = (
        _found_before(material, material.test, indices)
        if material.test
        else _found_here(material, images)
    )
    shapes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
    rows = [
        {
            "group": group,
            "dehaze": dehaze,
            "found": [_objects(*one, classes) for one in zip(results, sizes, shapes, strict=True)],
        }
        for group, dehaze, results in found
    ]
    return {"pictures": pictures, "rows": rows, "groups": [group.name for group in material.groups]}


def _found_before(
    material: Material, test: TestSet, indices: Sequence[int]
) -> Iterator[tuple[int, str, list[Detections]]]:
    """Of each row, the index of its runs, what the images went through, and the detections of its
    first seed in these images."""
    for row in material.rows:
        results = test.results(row.predictions[0])
        yield material.group_of(row), row.dehaze, [results[index] for index in indices]


def _found_here(
    material: Material, images: Sequence[Tensor]
) -> Iterator[tuple[int, str, list[Detections]]]:
    """The same of detectors that look at the images now."""
    for number, group in enumerate(material.groups):
        if group.model is not None:
            detector = group.model.detector(material.device)
            results = [detector.predict(image, threshold=LOWEST_SCORE) for image in images]
            yield number, "none", results


def controls(content: dict[str, Any], best: int) -> str:
    """The switches above the pictures, as HTML.

    Args:
        content: from `picture_data`.
        best: the group of runs to show beside the first.
    """
    groups = list(dict.fromkeys(row["group"] for row in content["rows"]))
    names = {"none": "none"} | {key: name.label for key, name in DEHAZERS.items()}
    hazes = [d for d in names if all(d in p["images"] for p in content["pictures"])]
    parts = []
    if len(hazes) > 1:
        options = "".join(f'<option value="{d}">{names[d]}</option>' for d in hazes)
        parts.append(f'<label>dehazing <select id="dehaze">{options}</select></label>')
    second = best if best in groups else groups[-1]
    for side, word, chosen in (("left", "compare", groups[0]), ("right", "with", second))[
        : len(groups)
    ]:
        options = "".join(
            "<option "
            f'value="{g}"{" selected" * (g == chosen)}>{escape(content["groups"][g])}</option>'
            for g in groups
        )
        alone = " hidden" if len(groups) == 1 else ""
        parts.append(f'<label{alone}>{word} <select id="{side}">{options}</select></label>')
    parts.append(
        '<label>score at least <output id="score">0.50</output> '
        f'<input id="threshold" type="range" min="{LOWEST_SCORE}" max="0.95" step="0.05" '
        'value="0.5"></label>'
    )
    if any(p["truth"] is not None for p in content["pictures"]):
        parts.append('<label><input id="truth" type="checkbox"> true objects</label>')
    return "".join(parts)


def _picture(
    image: Tensor, data: Dataset, index: int, material: Material, classes: list[str]
) -> dict[str, Any]:
    height, width = int(image.shape[1]), int(image.shape[2])
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    images = {"none": _jpeg(image, size)}
    for dehaze, folder in (
        material.comparison.images if material.comparison and material.test else {}
    ).items():
        if (file := dehazed_paths(data, folder)[index]).is_file():
            images[dehaze] = _jpeg(decode_image(file), size)
    truth = (
        _truth(data.annotations(index), size, (height, width), classes) if data.labelled else None
    )
    return {
        "name": data.paths[index].name,
        "width": size[1],
        "height": size[0],
        "images": images,
        "truth": truth,
    }


def _jpeg(image: Tensor, size: tuple[int, int]) -> str:
    height, width = size
    picture = as_picture(image).resize((width, height), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _objects(
    found: Detections, size: tuple[int, int], shape: tuple[int, int], classes: list[str]
) -> list[dict[str, Any]]:
    """The detections of one picture, in pixels of the embedded one."""
    found = found.above(LOWEST_SCORE)[:MOST_OBJECTS]
    entries = _entries(found.boxes, found.masks, found.names, size, shape, classes)
    for entry, score in zip(entries, found.scores.tolist(), strict=True):
        entry["s"] = round(score, 3)
    return entries


def _truth(
    objects: Annotations, size: tuple[int, int], shape: tuple[int, int], classes: list[str]
) -> list[dict[str, Any]]:
    names = [classes[label] for label in objects.labels.tolist()]
    entries = _entries(objects.boxes, objects.masks, names, size, shape, classes)
    for entry, crowd, difficult in zip(
        entries, objects.crowd.tolist(), objects.difficult.tolist(), strict=True
    ):
        entry["n"] += " (crowd)" * crowd + " (difficult)" * difficult
    return entries


def _entries(
    boxes: Tensor,
    masks: Tensor,
    names: Sequence[str],
    size: tuple[int, int],
    shape: tuple[int, int],
    classes: list[str],
) -> list[dict[str, Any]]:
    """Name, colour (as in every drawn picture), box and outline of each object. Unknown classes
    join ``classes``."""
    for name in map(canonical, names):
        if name not in classes:
            classes.append(name)
    colours = instance_colours(
        torch.tensor([classes.index(canonical(name)) for name in names], dtype=torch.int64)
    )
    factors = size[1] / shape[1], size[0] / shape[0]
    entries = []
    for name, colour, box, mask in zip(names, colours, boxes.tolist(), masks, strict=True):
        polygons = mask_polygons(mask.cpu(), *size) if mask.numel() else []
        entries.append(
            {
                "n": name,
                "c": "#" + bytes(colour).hex(),
                "b": [round(value * factors[k % 2], 1) for k, value in enumerate(box)],
                "m": [" ".join(f"{x:.1f},{y:.1f}" for x, y in polygon) for polygon in polygons],
            }
        )
    return entries
