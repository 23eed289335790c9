"""A labelled image as Pascal VOC's XML."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

from dmaskrcnn.data.dataset import Dataset


def to_voc(data: Dataset, index: int, name: Path, lost: Counter[str]) -> str:
    """The XML of an image, which ``open_dataset`` reads back with the same boxes and flags.

    Args:
        data: labelled.
        index: of the image.
        name: of its picture.
        lost: what the format cannot hold is counted here.
    """
    objects = data.objects
    assert objects is not None
    height, width = data.size(index)
    parts = [
        f"<annotation>\n  <filename>{escape(name.name)}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
    ]
    has_mask = objects.has_mask
    for row in range(int(objects.first[index]), int(objects.first[index + 1])):
        x0, y0, x1, y1 = (float(v) for v in objects.boxes[row])
        if objects.crowd[row]:
            lost["crowd regions left out"] += 1
        elif x1 - x0 <= 1 or y1 - y0 <= 1:  # first and last pixel are one: read as a mistake
            lost["boxes of at most one pixel left out"] += 1
        else:
            lost["masks lost: the format has boxes alone"] += bool(has_mask[row])
            corners = zip(("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1), strict=True)
            box = "".join(f"<{tag}>{value:.9g}</{tag}>" for tag, value in corners)
            parts.append(
                f"  <object>\n    <name>{escape(data.classes[int(objects.labels[row])])}</name>\n"
                f"    <difficult>{int(objects.difficult[row])}</difficult>\n"
                f"    <bndbox>{box}</bndbox>\n  </object>\n"
            )
    return "".join([*parts, "</annotation>\n"])
