"""A labelled image as YOLO writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.outlines import one_polygon, rings
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.data.segmentation import overlap
from dmaskrcnn.errors import UserError

SAME = 0.9  # IoU of a box with that of its mask, below which its loss is said


def to_yolo(data: Dataset, index: int, lost: Counter[str]) -> str:
    """The lines of an image: a polygon for each object with a mask, a box for each other.

    Args:
        data: labelled.
        index: of the image.
        lost: what the format cannot hold is counted here.

    Raises:
        UserError: a mask cannot be decoded.
    """
    objects = data.objects
    assert objects is not None
    height, width = data.size(index)
    lines = []
    for row in range(int(objects.first[index]), int(objects.first[index + 1])):
        if objects.crowd[row]:
            lost["crowd regions left out"] += 1
            continue
        lost["flags `difficult` lost"] += bool(objects.difficult[row])
        x0, y0, x1, y1 = (float(v) for v in objects.boxes[row])
        segmentation = objects.segmentation(row)
        if segmentation is None:
            numbers = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
        else:
            try:
                numbers = _polygon(segmentation, height, width, lost)
            except ValueError as error:
                raise UserError(
                    f"{data.paths[index]}: a mask of it cannot be decoded ({error}); correct it"
                ) from error
            x, y = numbers[0::2], numbers[1::2]
            far = overlap((x0, y0, x1, y1), (min(x), min(y), max(x), max(y))) < SAME
            lost["boxes that become those of their masks"] += far
            if len(numbers) == 8:  # four points would pass for an oriented box
                numbers += numbers[:2]
        shares = (value / (height if i % 2 else width) for i, value in enumerate(numbers))
        lines.append(" ".join([str(int(objects.labels[row])), *(f"{v:.12g}" for v in shares)]))
    return "".join(f"{line}\n" for line in lines)


def _polygon(segmentation: object, height: int, width: int, lost: Counter[str]) -> list[float]:
    if isinstance(segmentation, list) and len(segmentation) == 1:
        x, y = segmentation[0][0::2], segmentation[0][1::2]
        if min(x) >= 0 and min(y) >= 0 and max(x) <= width and max(y) <= height:
            return [float(value) for value in segmentation[0]]
    (mask,) = PackedMasks.of_segmentations(height, width, [segmentation]).each_frame()
    found = rings(mask)
    if not found:
        raise ValueError("it covers no pixel")
    lost["masks of several parts or with holes joined to one polygon"] += len(found) > 1
    return one_polygon(found)


def data_yaml(classes: Sequence[str]) -> str:
    """The ``data.yaml`` beside ``images/`` and ``labels/``."""
    import yaml

    return yaml.safe_dump(
        {"train": "images", "nc": len(classes), "names": dict(enumerate(classes))}, sort_keys=False
    )
